"""Simulated Chutes sessions: judging them, spoiling them, and a provider without sockets that answers out of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.providers.phala import PhalaVerifier
from teeverify.saved import SavedReport
from teeverify.testing import ChutesSession, chutes_policy, trust_roots
from teeverify.testing.chutes_defects import CHUTES_DEFECTS, HOSTILE_BODIES, Change
from teeverify.testing.chutes_defects import OTHER_NONCE as OTHER
from teeverify.testing.chutes_defects.model import EVIDENCE, KEYS, MODELS, nras, turn
from teeverify.testing.chutes_instance import ChutesInstance
from teeverify.testing.chutes_world import RECORDED_AT
from teeverify.transport import ReplayTransport
from teeverify.verdict import AttestationVerdict, Status

__all__ = [
    "ATTACKS", "EVIDENCE", "FAMILY", "HOSTILE", "KEYS", "MALFORMED", "MODELS", "OTHER", "Change",
    "Provider", "build", "failing", "judge", "judge_both", "nras", "policy", "turn", "verifier",
]  # fmt: skip

ROOTS: Final = trust_roots()


def build(**options: Any) -> ChutesSession:
    return ChutesSession.build(**{"gpus": 1, **options})


@cache
def policy(*, mode: str = "all", nras: str = "required", gateway: bool = False, gpus: int = 1) -> Policy:
    """The strict policy of a session that nobody spoiled."""
    return Policy.from_toml(chutes_policy(build(gateway=gateway, gpus=gpus), mode=mode, nras=nras))


def verifier(rules: Policy, **options: Any) -> ChutesVerifier | PhalaVerifier:
    kind = PhalaVerifier if rules.provider == "phala" else ChutesVerifier
    return kind(rules, roots=ROOTS, clock=lambda: RECORDED_AT, **options)


def judge(document: dict[str, Any], *, at: datetime | None = None, **rules: Any) -> AttestationVerdict:
    report = SavedReport.from_bytes(json.dumps(document).encode())
    return verifier(policy(gateway=document["provider"] == "phala", **rules)).verify_saved(report, at=at)


def judge_both(document: dict[str, Any]) -> tuple[AttestationVerdict, AttestationVerdict]:
    """The verdicts of modes all and any, from claims that are derived once."""
    report = SavedReport.from_bytes(json.dumps(document).encode())
    at = report.recorded_at
    subjects = ChutesVerifier.subjects_of_saved(report, roots=ROOTS, at=at, wall_clock=at)
    strict, relaxed = (
        verifier(policy(mode=mode)).conclude(subjects, model=report.model, nonce=report.nonce, at=at)
        for mode in ("all", "any")
    )
    return strict, relaxed


def failing(verdict: AttestationVerdict, instance: ChutesInstance | str) -> set[tuple[str, str]]:
    """Check and reason of what stands against the first subject of an instance, without what waits for other checks."""
    name = instance if isinstance(instance, str) else f"instance:{instance.instance_id}"
    subject = next(one for one in verdict.subjects if one.id.startswith(name))
    bad = (check for check in subject.checks if check.status in (Status.FAIL, Status.UNEVALUATED))
    return {(check.id, check.reason) for check in bad if not check.reason.startswith("prerequisite_")}


class Provider:
    """Answers like Chutes, Intel and NVIDIA, out of a new session for each nonce that is asked with.

    ``spoil`` may change the session first. ``answers`` overrides single answers by a part of the URL.
    """

    concurrent = False

    def __init__(self, spoil: Callable[[ChutesSession], object] = lambda session: None, **options: Any) -> None:
        self.spoil, self.options = spoil, options
        self.answers: dict[str, Response | Exception] = {}
        self.asked: list[Request] = []
        self._replay = self._session(None)

    def _session(self, nonce: bytes | None) -> ReplayTransport:
        session = build(nonce=nonce, **self.options)
        self.spoil(session)
        return ReplayTransport(SavedReport.from_bytes(json.dumps(session.saved()).encode()))

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        for part, answer in self.answers.items():
            if part in request.url:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        query = parse_qs(urlsplit(request.url).query)
        if "nonce" in query:
            self._replay = self._session(bytes.fromhex(query["nonce"][0]))
        return self._replay.send(request)


# --- attacks on one instance ------------------------------------------------------------------------------------------

FAMILY: Final = "b0c06f000000"
"""The platform family of the second instance."""
PINS: Final = {("pin.base_image", "not_pinned")}
NOT_BOUND: Final = {("binding.report_data", "other_bytes"), ("freshness.nonce_bound", "nonce_mismatch")}
MALFORMED, MISSING = ("evidence.wellformed", "malformed"), ("evidence.complete", "missing")

_REASONS: Final[dict[str, tuple[str, set[tuple[str, str]]]]] = {
    "01 key swapped": ("swapped-key", NOT_BOUND),
    "02 replay": ("replayed-nonce", {*NOT_BOUND, ("gpu.nonce_bound", "nonce_mismatch")}),
    "05 signature": ("quote-signature-forged", {("tdx.quote_signature", "quote_signature_invalid")}),
    "06 no Intel machine": ("quote-without-intel", {("tdx.quote_signature", "pck_chain_root")}),
    "07 signed debug TD": ("debug-td-byte-0", {("tdx.attributes", "td_attributes"), ("tdx.debug_off", "debug_on")}),
    "08 out of date": ("old-tcb", {("tcb.status", "not_accepted")}),
    "08 configuration": ("tcb-configuration-needed", {("tcb.status", "not_accepted")}),
    "08 hardening": ("tcb-hardening-needed", {("tcb.status", "not_accepted")}),
    "08 revoked": ("tcb-revoked", {("tcb.not_revoked", "tcb_revoked")}),
    "08 advisory": ("tcb-advisory", {("tcb.advisories", "open")}),
    "10 other firmware": ("other-image", PINS),
    "10 other RTMR0": ("other-rtmr0", PINS),
    "10 other RTMR2": ("other-rtmr2", PINS),
    "11 mixed row, RTMR1": ("mixed-row-rtmr1", PINS),
    "11 mixed row, MRTD": ("mixed-row-mrtd", PINS),
    "12 RTMR3 zero": ("rtmr3-zero", PINS),
    "13 owner": ("td-owner-set", {("tdx.attributes", "owner")}),
    "13 owner's configuration": ("td-owner-config-set", {("tdx.attributes", "owner")}),
    "13 other extended features": ("td-xfam-odd", {("tdx.attributes", "xfam")}),
    "13 foreign attributes": ("td-attributes-foreign", {("tdx.attributes", "td_attributes")}),
    "13 module of a stranger": ("td-module-signer", {("tdx.module", "module_not_identified")}),
    "13 module's attributes": ("td-module-attributes", {("tdx.module", "module_not_identified")}),
    "13 unpinned module": ("td-module-unpinned", {("tdx.module", "module_not_pinned")}),
    "14 certificate replaced": ("certificate-replaced", {("binding.report_data", "other_second_half")}),
    "14 certificate of bytes": ("certificate-garbage", {MALFORMED}),
    "14 certificate and more": ("certificate-and-more", {MALFORMED}),
    "14 key without certificate": ("certificate-bare-key", {MALFORMED}),
    "15 certificate missing": ("certificate-missing", {MISSING}),
    "17 key with a space": ("key-with-a-space", {MALFORMED}),
    "17 key without padding": ("key-without-padding", {MALFORMED}),
    "17 key too short": ("key-too-short", {MALFORMED}),
    "17 key too long": ("key-too-long", {MALFORMED}),
    "17 first coefficient": ("key-first-coefficient", {MALFORMED}),
    "17 last coefficient": ("key-last-coefficient", {MALFORMED}),
    "17 bound, but no key": ("key-bound-but-none", {MALFORMED}),
    "18 key empty": ("key-empty", {MISSING}),
    "20 padding not zero": ("quote-padding-not-zero", {MALFORMED}),
    "20 another kind of quote": ("quote-of-sgx", {("tdx.quote_kind", "not_tdx_quote")}),
    "20 another version": ("quote-version-3", {("tdx.quote_kind", "not_tdx_quote")}),
    "20 another vendor": ("quote-vendor-other", {("tdx.quote_kind", "wrong_constant")}),
    "24 evidence without key": ("evidence-without-key", {MISSING}),
    "25 key without evidence": ("key-without-evidence", {MISSING}),
    "25 failed and without evidence": ("instance-failed", {MISSING}),
    "27 evidence and failed": ("instance-failed-with-evidence", {MALFORMED}),
    "22 two keys for an id": ("key-twice", {MALFORMED}),
    "29 no GPU": ("gpu-missing", {("gpu.present", "no_evidence")}),
    "31 other GPU nonce": ("gpu-other-nonce", {("gpu.nonce_bound", "nonce_mismatch")}),
    "31 our nonce, not the hash": ("gpu-raw-nonce", {("gpu.nonce_bound", "nonce_mismatch")}),
    "32 GPU signature": ("gpu-signature-forged", {("gpu.evidence_signature", "signature_invalid")}),
    "34 GPU of a stranger": ("gpu-foreign-root", {("gpu.cert_chain", "chain_root")}),
    "35 NVIDIA says no": ("nras-failure-form", {("gpu.nras_result", "result_overall")}),
    "35 no, behind an overall yes": ("nras-step-failed", {("gpu.nras_result", "result_step")}),
    "35 truthy is not true": ("nras-truthy", {("gpu.nras_token", "token_malformed")}),
    "36 a GPU's token for our raw nonce": ("nras-gpu-raw-nonce", {("gpu.nras_result", "result_nonce")}),
    "37 unsigned token": ("token-unsigned", {("gpu.nras_token", "token_malformed")}),
    "37 symmetric token": ("token-hmac", {("gpu.nras_token", "token_malformed")}),
    "37 unknown key": ("token-key-unknown", {("gpu.nras_token", "key_unknown")}),
    "37 issuer": ("token-issuer", {("gpu.nras_token", "token_issuer")}),
    "37 forged signature": ("token-forged", {("gpu.nras_token", "token_signature")}),
    "37 a token too few": ("token-too-few", {("gpu.nras_token", "token_malformed")}),
    "37 token of another GPU": ("token-of-other-gpu", {("gpu.nras_result", "result_device")}),
}  # fmt: skip
"""By number in the protocol notes and a few words: the defect, and the reasons for which it is refused."""


def _change(name: str) -> Change:
    change = CHUTES_DEFECTS[name].change
    assert change is not None
    return change


ATTACKS: Final = {words: (_change(name), reasons) for words, (name, reasons) in _REASONS.items()}
HOSTILE: Final = HOSTILE_BODIES
