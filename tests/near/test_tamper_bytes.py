"""Byte regions of everything that is signed: quotes, GPU evidence and chains, Intel's and NVIDIA's answers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Final

import pytest

from captures import NEAR_CAPTURES
from teeverify.verdict import Outcome

from .tampering import TEXT, Json, Path, Session, deciding_ids, get, put, session_of

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

_NAMES: Final = tuple(NEAR_CAPTURES)
_SIGNATURE: Final = frozenset({"tdx.quote_signature"})
_KIND: Final = frozenset({"tdx.quote_kind"})
_FORM: Final = frozenset({"evidence.wellformed", "tdx.quote_kind"})

QUOTE_REGIONS: Final[tuple[tuple[str, int, int, frozenset[str]], ...]] = (
    ("header version", 0, 2, _KIND),
    ("header key type", 2, 2, _KIND),
    ("header TEE type", 4, 4, _KIND),
    ("header reserved", 8, 4, _KIND),
    ("header QE vendor", 12, 16, _KIND),
    ("header user data", 28, 16, _SIGNATURE),
    ("header user data tail", 44, 4, _KIND),
    ("TEE_TCB_SVN", 48, 16, _SIGNATURE),
    ("MRSEAM", 64, 48, _SIGNATURE),
    ("MRSIGNERSEAM", 112, 48, _SIGNATURE),
    ("SEAMATTRIBUTES", 160, 8, _SIGNATURE),
    ("TDATTRIBUTES", 168, 8, _SIGNATURE),
    ("XFAM", 176, 8, _SIGNATURE),
    ("MRTD", 184, 48, _SIGNATURE),
    ("MRCONFIGID", 232, 48, _SIGNATURE),
    ("MROWNER", 280, 48, _SIGNATURE),
    ("MROWNERCONFIG", 328, 48, _SIGNATURE),
    ("RTMR0", 376, 48, _SIGNATURE),
    ("RTMR1", 424, 48, _SIGNATURE),
    ("RTMR2", 472, 48, _SIGNATURE),
    ("RTMR3", 520, 48, _SIGNATURE),
    ("REPORTDATA first half", 568, 32, _SIGNATURE),
    ("REPORTDATA second half", 600, 32, _SIGNATURE),
    ("signature data length", 632, 4, _FORM | _SIGNATURE),
    ("signature", 636, 64, _SIGNATURE),
    ("attestation key", 700, 64, _SIGNATURE),
    ("outer certification type", 764, 2, _KIND | _FORM),
    ("outer certification length", 766, 4, _KIND | _FORM),
    ("QE report", 770, 320, _SIGNATURE),
    ("QE report data", 1090, 64, _SIGNATURE | _KIND),
    ("QE report signature", 1154, 64, _SIGNATURE),
    ("QE auth data length", 1218, 2, _FORM),
    ("QE auth data", 1220, 32, _SIGNATURE),
    ("inner certification type", 1252, 2, _KIND),
    ("inner certification length", 1254, 4, _FORM),
)


def quote_paths(session: Session) -> dict[str, Path]:
    """Where each subject's quote stands."""
    records = session.record_paths
    return {role: (*path, "quote" if role == "compose_manager" else "intel_quote") for role, path in records.items()}


def flipped(data: bytes, place: int, mask: int = 1) -> bytes:
    """The bytes with some bits of one byte turned over."""
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def places_in(start: int, size: int) -> list[int]:
    """First, middle and last byte of a region."""
    return sorted({start, start + size // 2, start + size - 1})


def quote_changes(quote: bytes) -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """What, the changed quote, and the checks of which one must decide."""
    for name, start, size, ids in QUOTE_REGIONS:
        for place in places_in(start, size):
            yield f"{name} at {place}", flipped(quote, place), ids
    begin = quote.index(b"-----BEGIN")
    end = quote.rindex(b"-----END CERTIFICATE-----")
    for place in range(begin, end, (end - begin) // 24):
        yield f"PCK chain at {place}", flipped(quote, place), _SIGNATURE | _FORM
    certificates = re.findall(rb"-----BEGIN.+?-----END CERTIFICATE-----\n?", quote, re.DOTALL)
    assert len(certificates) == 3
    leaf, issuer, root = certificates
    yield "PCK leaf and issuer swapped", quote.replace(leaf + issuer, issuer + leaf), _SIGNATURE | _FORM
    yield "PCK root left out", quote.replace(root, b""), _SIGNATURE | _FORM
    yield "PCK root replaced by issuer", quote.replace(root, issuer), _SIGNATURE | _FORM
    padding = len(quote) - len(quote.rstrip(b"\0"))
    assert padding > 60
    for place in (len(quote) - padding + 2, len(quote) - padding // 2, len(quote) - 1):
        yield f"padding at {place}", flipped(quote, place), frozenset({"evidence.wellformed"})
    yield "cut in the chain", quote[: end - 40], frozenset({"evidence.wellformed"})
    yield "cut in the body", quote[:400], frozenset({"evidence.wellformed"})
    yield "empty", b"", frozenset({"evidence.complete"})
    yield "4097 zero bytes after it", quote.rstrip(b"\0") + bytes(4098), frozenset({"evidence.wellformed"})


@pytest.mark.parametrize("role", ["gateway", "model", "compose_manager"])
@pytest.mark.parametrize("name", _NAMES)
def test_every_region_of_every_quote(name: str, role: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    path = quote_paths(session).get(role)
    if path is None:
        pytest.skip("a direct report has no gateway")
    quote = bytes.fromhex(get(session.body, path))
    for what, changed, ids in quote_changes(quote):
        verdict = session.judge_body(put(session.body, path, changed.hex()))
        assert verdict.outcome is Outcome.REJECTED, what
        assert deciding_ids(verdict, role) & ids, (what, deciding_ids(verdict, role))


def gpu_entry(session: Session, index: int, **members: bytes) -> Json:
    """The body with the certificate or evidence of one GPU replaced."""
    path = (*session.record_paths["model"], "nvidia_payload", TEXT, "evidence_list", index)
    body = session.body
    for name, value in members.items():
        body = put(body, (*path, name), base64.b64encode(value).decode())
    return body


def gpu_bytes(session: Session, index: int, name: str) -> bytes:
    """Certificate chain or evidence of one GPU."""
    path = (*session.record_paths["model"], "nvidia_payload", TEXT, "evidence_list", index, name)
    return base64.b64decode(get(session.body, path))


def spdm_regions(evidence: bytes) -> dict[str, tuple[int, int]]:
    """Regions of request and response (SPDM 1.1), from the lengths that the evidence states."""
    record = int.from_bytes(evidence[42:45], "little")
    opaque_at = 45 + record + 34
    opaque = int.from_bytes(evidence[opaque_at - 2 : opaque_at], "little")
    assert opaque_at + opaque + 96 == len(evidence)
    return {
        "request head": (0, 4),
        "requester nonce": (4, 32),
        "slot": (36, 1),
        "response head": (37, 4),
        "block count": (41, 1),
        "record length": (42, 3),
        "measurements": (45, record),
        "responder nonce": (45 + record, 32),
        "opaque length": (opaque_at - 2, 2),
        "opaque": (opaque_at, opaque),
        "signature": (len(evidence) - 96, 96),
    }


@pytest.mark.parametrize("name", _NAMES)
def test_every_region_of_gpu_evidence(name: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    for index in (0, 7):
        evidence = gpu_bytes(session, index, "evidence")
        changes = {
            f"{region} at {place}": flipped(evidence, place)
            for region, (start, size) in spdm_regions(evidence).items()
            for place in places_in(start, size)
        }
        changes |= {"cut": evidence[:-1], "longer": evidence + b"\0", "empty": b""}
        for what, changed in changes.items():
            verdict = session.judge_body(gpu_entry(session, index, evidence=changed))
            refused_by = {"evidence.wellformed", "gpu.evidence_signature", "gpu.nonce_bound", "gpu.cert_chain"}
            assert verdict.outcome is Outcome.REJECTED, (index, what)
            assert deciding_ids(verdict, "model") & refused_by, (index, what)


@pytest.mark.parametrize("name", _NAMES)
def test_every_certificate_of_a_gpu(name: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    pem = gpu_bytes(session, 3, "certificate")
    parts = re.findall(rb"-----BEGIN.+?-----END CERTIFICATE-----\n?", pem, re.DOTALL)
    assert len(parts) == 5
    changes: dict[str, bytes] = {}
    for number, part in enumerate(parts):
        der = base64.b64decode(b"".join(part.split(b"-----")[2].split()))
        for place in places_in(12, len(der) - 12):
            text = base64.encodebytes(flipped(der, place))
            other = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
            changes[f"certificate {number} at {place}"] = pem.replace(part, other)
        changes[f"certificate {number} left out"] = pem.replace(part, b"")
        if number < 4:  # the pinned root signs itself, so a second copy of it changes nothing
            changes[f"certificate {number} twice"] = pem.replace(part, part + part)
    changes["reversed"] = b"".join(reversed(parts))
    changes["of another GPU"] = gpu_bytes(session, 4, "certificate")
    changes["text before"] = b"hello\n" + pem
    for what, changed in changes.items():
        verdict = session.judge_body(gpu_entry(session, 3, certificate=changed))
        refused_by = {"evidence.wellformed", "gpu.cert_chain", "gpu.distinct_devices"}
        assert verdict.outcome is Outcome.REJECTED, what
        assert deciding_ids(verdict, "model") & refused_by, what


@pytest.mark.parametrize("name", _NAMES)
def test_gpu_evidence_exchanged_between_gpus(name: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    swapped = gpu_entry(session, 0, evidence=gpu_bytes(session, 1, "evidence"))
    assert "gpu.evidence_signature" in deciding_ids(session.judge_body(swapped))
    both = gpu_entry(
        session, 0, evidence=gpu_bytes(session, 1, "evidence"), certificate=gpu_bytes(session, 1, "certificate")
    )
    assert "gpu.distinct_devices" in deciding_ids(session.judge_body(both))


INTEL_ANSWERS: Final = ("tdx/certification/v4/tcb", "qe/identity", "pckcrl", "IntelSGXRootCA.der")


@pytest.mark.parametrize("answer", INTEL_ANSWERS)
@pytest.mark.parametrize("name", _NAMES)
def test_bytes_of_intels_answers(name: str, answer: str) -> None:
    """An answer that is no document at all is an outage; whatever is one and was changed is refused."""
    session = session_of(name, NEAR_CAPTURES[name])
    place = session.places(answer)[0]
    body = session.report.exchanges[place].response.body
    step = max(1, len(body) // 40)
    for at in (*range(0, len(body), step), len(body) - 1):
        for mask in (1, 4):
            verdict = session.judge(session.with_answer(place, body=flipped(body, at, mask)))
            assert verdict.outcome is not Outcome.VERIFIED, (at, mask)
            assert "tcb.collateral_current" in deciding_ids(verdict)
    for changed in (body[:-1], body + b"x", b"", body[: len(body) // 2]):
        assert session.judge(session.with_answer(place, body=changed)).outcome is not Outcome.VERIFIED


@pytest.mark.parametrize("answer", INTEL_ANSWERS[:2])
@pytest.mark.parametrize("name", _NAMES)
def test_every_signed_member_of_intels_json(name: str, answer: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    place = session.places(answer)[0]
    text = session.report.exchanges[place].response.body.decode()
    members = sorted(set(re.findall(r'"(\w+)":("[^"]*"|\d+|true|false)', text)))
    assert len(members) >= 12
    for member, value in members:
        if value[0] == '"':
            digit = value[1:2]
            other = f'"{"0" if digit != "0" else "1"}{value[2:]}' if len(value) > 2 else '"x"'
        else:
            other = str(int(value) + 1) if value.isdigit() else "null"
        for new in (other, "null", "[]"):
            changed = text.replace(f'"{member}":{value}', f'"{member}":{new}', 1).encode()
            verdict = session.judge(session.with_answer(place, body=changed))
            assert verdict.outcome is Outcome.REJECTED, (member, new)
            assert "tcb.collateral_current" in deciding_ids(verdict), (member, new)
    document = json.loads(text)
    for changed_text in (
        json.dumps(document),  # the same values, other white space: not what Intel signed
        text.replace("{", '{"note":1,', 1),
        text.replace('"signature"', '"signature":"00","signature"'),
        f"[{text}]",
    ):
        verdict = session.judge(session.with_answer(place, body=changed_text.encode()))
        assert "tcb.collateral_current" in deciding_ids(verdict)


@pytest.mark.parametrize(
    ("answer", "header"),
    [("tdx/certification/v4/tcb", "tcb-info-issuer-chain"), ("qe/identity", "sgx-enclave-identity-issuer-chain")],
)
@pytest.mark.parametrize("name", _NAMES)
def test_issuer_chain_headers(name: str, answer: str, header: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    place = session.places(answer)[0]
    headers = dict(session.report.exchanges[place].response.headers)
    (chain,) = headers[header]
    certificates = re.findall(r"-----BEGIN.+?-----END%20CERTIFICATE-----(?:%0A)?", chain)
    assert len(certificates) == 2
    pck = get(session.body, quote_paths(session)["model"])
    pck_chain = bytes.fromhex(pck)
    pck_chain = pck_chain[pck_chain.index(b"-----BEGIN") :].rstrip(b"\0")
    others: dict[str, tuple[str, ...]] = {
        "missing": (),
        "twice": (chain, chain),
        "empty": ("",),
        "reversed": ("".join(reversed(certificates)),),
        "signer only": (certificates[0],),
        "PCK chain": (pck_chain.decode(),),
        "flipped": (chain[:400] + ("A" if chain[400] != "A" else "B") + chain[401:],),
    }
    for what, values in others.items():
        verdict = session.judge(session.with_answer(place, headers={**headers, header: values}))
        assert verdict.outcome is not Outcome.VERIFIED, what
        assert "tcb.collateral_current" in deciding_ids(verdict), what
