"""One NEAR report judged in a warm process, as a ratio to the floor of its unavoidable cryptography."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from itertools import pairwise
from typing import Any

from teeverify.claims.problem import need
from teeverify.claims.subject import Subject
from teeverify.crypto.certificates import load_pem_chain
from teeverify.crypto.dcap import collateral_arguments
from teeverify.formats.event_log import replay
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.roots import PRODUCTION_ROOTS, TrustRoots
from teeverify.saved import SavedReport
from teeverify.testing import NearSession, near_policy, trust_roots
from teeverify.verdict import Outcome
from teeverify.verifier import Verifier

ROUNDS = 40
Work = Callable[[], object]


def dcap_work(subject: Subject, roots: TrustRoots) -> Work:
    """DCAP verification of one quote with everything built beforehand."""
    import dcap_qvl

    assert subject.tdx is not None
    raw, now = need(subject.tdx.quote).raw, int(subject.evaluated_at.timestamp())
    arguments = collateral_arguments(need(subject.tdx.collateral))
    assert isinstance(arguments, dict)
    collateral = dcap_qvl.QuoteCollateralV3(**arguments)
    verifier, policy = dcap_qvl.QuoteVerifier(roots.intel_root), dcap_qvl.QuotePolicy.claims_only(now)
    return lambda: verifier.verify_with_policy(raw, collateral, now, policy)


def p384_work(subject: Subject, seen: set[tuple[bytes, bytes]] | None = None) -> list[Work]:
    """Every distinct P-384 signature of the GPU evidence, its certificates and NVIDIA's token, keys already loaded.

    Links between certificates that are in ``seen`` already are left out.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    def signature(raw: bytes) -> bytes:
        return utils.encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))

    work: list[Work] = []

    def verify(key: Any, made: bytes, message: bytes) -> None:
        work.append(lambda: key.verify(made, message, ec.ECDSA(hashes.SHA384())))

    gpu = subject.gpu
    if gpu is None:
        return work
    seen = set() if seen is None else seen
    for entry, device in zip(need(gpu.payload).entries, gpu.devices, strict=True):
        chain = load_pem_chain(entry.certificate, what="chain")
        evidence = need(device.evidence)
        verify(chain[0].public_key, signature(evidence.signature), evidence.signed)
        for child, issuer in pairwise(chain):
            if (child.der, issuer.der) not in seen:
                seen.add((child.der, issuer.der))
                verify(issuer.public_key, child.signature, child.tbs_der)
    if gpu.nras is not None and not isinstance(need(gpu.nras), type(None)):
        token = need(gpu.nras).answer.overall.jws
        key = ec.generate_private_key(ec.SECP384R1())  # any P-384 key costs the same
        message = token.text.rpartition(".")[0].encode()
        made = key.sign(message, ec.ECDSA(hashes.SHA384()))
        verify(key.public_key(), made, message)
    return work


def hash_work(subject: Subject) -> list[Work]:
    """Replay of every event log copy, the compose document, the tokens."""
    work: list[Work] = []
    if subject.dstack is not None:
        for copy in subject.dstack.logs:
            log = need(copy).log
            events = [(event.imr, event.digest) for event in log.events]
            payloads = [event.name.encode() + event.payload for event in log.runtime]
            work.append(partial(_replay, events, payloads))
            assert replay(log)
        text = need(subject.dstack.app_compose).text.encode()
        work.append(lambda: hashlib.sha256(text).digest())
    return work


def _replay(events: list[tuple[int, bytes]], payloads: list[bytes]) -> None:
    registers = [bytes(48)] * 4
    for payload in payloads:
        hashlib.sha384(payload).digest()
    for imr, digest in events:
        registers[imr] = hashlib.sha384(registers[imr] + digest).digest()


def measure(
    name: str, report: SavedReport, policy: Policy, roots: TrustRoots, *, kind: type[Verifier] = NearVerifier
) -> None:
    """Interleave judging and floor, and print the ratio of their medians; ``kind`` is that of the verifier."""
    verifier, now = kind(policy, roots=roots), datetime.now(timezone.utc)
    verdict = verifier.verify_saved(report, now=now)
    assert verdict.outcome is Outcome.VERIFIED, verdict.conclusion
    subjects = verifier.subjects_of_saved(report, roots=roots, at=report.recorded_at, wall_clock=now)
    dcap = [dcap_work(subject, roots) for subject in subjects]
    p384 = [work for subject in subjects for work in p384_work(subject)]
    hashes = [work for subject in subjects for work in hash_work(subject)]
    floor = [*dcap, *p384, *hashes]
    judged: list[float] = []
    least: list[float] = []
    for _ in range(ROUNDS):
        least.append(_time(lambda: [work() for work in floor]))
        judged.append(_time(lambda: verifier.verify_saved(report, now=now)))
    ratio = statistics.median(judged) / statistics.median(least)
    work = f"{len(dcap)} DCAP, {len(p384)} P-384, {len(hashes)} hash runs"
    times = f"judged {statistics.median(judged) * 1000:6.2f} ms, floor {statistics.median(least) * 1000:6.2f} ms"
    print(f"{name:32} {times} ({work}): {ratio:.2f} x floor; best {min(judged) / min(least):.2f}")


def _time(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure the report and policy given, or synthetic ones with eight GPUs."""
    if len(sys.argv) == 3:
        report, policy = SavedReport.load(sys.argv[1]), Policy.load(sys.argv[2])
        measure(sys.argv[1].rpartition("/")[2], report, policy, PRODUCTION_ROOTS)
        return
    for name, session in (("direct, 8 GPUs", NearSession.direct(gpus=8)), ("cloud, 8 GPUs", NearSession.cloud(gpus=8))):
        report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
        measure(name, report, Policy.from_toml(near_policy(session)), trust_roots())


if __name__ == "__main__":
    main()
