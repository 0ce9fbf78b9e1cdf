"""Simulated Chutes sessions: judging them, spoiling them, and a provider without sockets that answers out of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from attrs import evolve

from teeverify.flow import Request, Response
from teeverify.limits import MAX_INSTANCES
from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.providers.phala import PhalaVerifier
from teeverify.saved import SavedReport
from teeverify.testing import ChutesSession, chutes_policy, trust_roots
from teeverify.testing.chutes_instance import ChutesInstance
from teeverify.testing.chutes_world import RECORDED_AT, ml_kem_key_text
from teeverify.testing.intel import IntelPki
from teeverify.testing.nvidia import NvidiaPki
from teeverify.testing.recording import compact
from teeverify.transport import ReplayTransport
from teeverify.verdict import AttestationVerdict, Status

__all__ = [
    "ATTACKS", "EVIDENCE", "FAMILY", "HOSTILE", "KEYS", "MALFORMED", "MODELS", "OTHER", "Change",
    "Provider", "build", "failing", "judge", "judge_both", "nras", "policy", "turn", "verifier",
]  # fmt: skip

OTHER: Final = bytes(range(100, 132))
KEYS, EVIDENCE, MODELS = "/e2e/instances/", "/evidence?", "/v1/models"
ROOTS: Final = trust_roots()
Change = Callable[[ChutesInstance, ChutesInstance, ChutesSession], object]
"""What is done to the second instance of a session; the first one is given for comparison."""


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
PINS: Final = {("pin.base_image", "not_pinned")}
NOT_BOUND: Final = {("binding.report_data", "other_bytes"), ("freshness.nonce_bound", "nonce_mismatch")}
MALFORMED, MISSING = ("evidence.wellformed", "malformed"), ("evidence.complete", "missing")


def turn(**knobs: Any) -> Change:
    def change(own: Any, other: Any, session: Any) -> None:
        for knob, value in knobs.items():
            setattr(own, knob, value(own, other, session) if callable(value) else value)

    return change


def td(**fields: Any) -> Change:
    return lambda own, *_: own.guest.td_changes.update(fields)


def quoted(**arguments: Any) -> Change:
    return lambda own, *_: own.guest.quote_changes.update(arguments)


def layout(**changes: Any) -> Change:
    return lambda own, *_: setattr(own.guest, "layout", evolve(own.guest.layout, **changes))


def nras(**changes: Any) -> Change:
    def change(own: Any, other: Any, session: Any) -> None:
        for name, value in changes.items():
            setattr(own.nras, name, value)

    return change


def level(**changes: Any) -> Change:
    def change(own: Any, other: Any, session: ChutesSession) -> None:
        levels = session.pcs.tcb_info(FAMILY)["tcbLevels"]
        session.pcs.tcb_changes_for[FAMILY] = {"tcbLevels": [{**levels[0], **changes}, *levels[1:]]}

    return change


def key_of(edit: Any) -> Change:
    return turn(shown_key=lambda own, *_: base64.b64encode(edit(base64.b64decode(own.key))).decode())


def _lost(own: Any, other: Any, session: ChutesSession) -> None:
    session.failed_instance_ids.append(own.instance_id)
    own.evidence_entries = 0


def _stranger(own: Any, other: Any, session: ChutesSession) -> None:
    own.guest.pki = IntelPki(session.keys, "stranger")


ATTACKS: Final[dict[str, tuple[Change, set[tuple[str, str]]]]] = {
    "01 key swapped": (turn(shown_key=lambda _o, _f, s: ml_kem_key_text(s.keys, "stranger")), NOT_BOUND),
    "02 replay": (turn(attested_nonce=OTHER), {*NOT_BOUND, ("gpu.nonce_bound", "nonce_mismatch")}),
    "05 signature": (quoted(signature=bytes(range(64))), {("tdx.quote_signature", "quote_signature_invalid")}),
    "06 no Intel machine": (_stranger, {("tdx.quote_signature", "pck_chain_root")}),
    "07 signed debug TD": (td(td_attributes=1), {("tdx.debug_off", "debug_on"), ("tdx.attributes", "td_attributes")}),
    "08 out of date": (level(tcbStatus="OutOfDate"), {("tcb.status", "not_accepted")}),
    "08 configuration": (level(tcbStatus="ConfigurationNeeded"), {("tcb.status", "not_accepted")}),
    "08 hardening": (level(tcbStatus="SWHardeningNeeded"), {("tcb.status", "not_accepted")}),
    "08 revoked": (level(tcbStatus="Revoked"), {("tcb.not_revoked", "tcb_revoked")}),
    "08 advisory": (level(advisoryIDs=["INTEL-SA-01036"]), {("tcb.advisories", "open")}),
    "10 other firmware": (td(mr_td=bytes(48)), PINS),
    "10 other RTMR0": (td(rtmr0=b"\1" * 48), PINS),
    "10 other RTMR2": (td(rtmr2=b"\1" * 48), PINS),
    "11 mixed row, RTMR1": (lambda own, other, s: own.guest.td_changes.update(rtmr1=other.guest.boot.rtmr1), PINS),
    "11 mixed row, MRTD": (lambda own, other, s: own.guest.td_changes.update(mr_td=other.guest.boot.mr_td), PINS),
    "12 RTMR3 zero": (td(rtmr3=bytes(48)), PINS),
    "13 owner": (td(mr_owner=b"\1" * 48), {("tdx.attributes", "owner")}),
    "13 owner's configuration": (td(mr_owner_config=b"\1" * 48), {("tdx.attributes", "owner")}),
    "13 other extended features": (td(xfam=bytes.fromhex("e702000000000000")), {("tdx.attributes", "xfam")}),
    "13 foreign attributes": (td(td_attributes=1 << 28 | 1 << 63), {("tdx.attributes", "td_attributes")}),
    "13 module of a stranger": (td(mr_signer_seam=b"\1" * 48), {("tdx.module", "module_not_identified")}),
    "13 module's attributes": (td(seam_attributes=b"\1" * 8), {("tdx.module", "module_not_identified")}),
    "13 unpinned module": (td(mr_seam=b"\1" * 48), {("tdx.module", "module_not_pinned")}),
    "14 certificate replaced": (
        turn(shown_certificate=lambda _o, first, _s: first.certificate.der),
        {("binding.report_data", "other_second_half")},
    ),
    "14 certificate of bytes": (turn(shown_certificate=b"no certificate"), {MALFORMED}),
    "14 certificate and more": (turn(shown_certificate=lambda own, *_: own.certificate.der + b"\0"), {MALFORMED}),
    "14 key without certificate": (turn(shown_certificate=lambda own, *_: own.certificate.spki), {MALFORMED}),
    "15 certificate missing": (turn(shows_certificate=False), {MISSING}),
    "17 key with a space": (turn(shown_key=lambda own, *_: own.key + " "), {MALFORMED}),
    "17 key without padding": (turn(shown_key=lambda own, *_: own.key.rstrip("=")), {MALFORMED}),
    "17 key too short": (key_of(lambda key: key[:-1]), {MALFORMED}),
    "17 key too long": (key_of(lambda key: key + b"\0"), {MALFORMED}),
    "17 first coefficient": (key_of(lambda key: b"\x01\x0d\x00" + key[3:]), {MALFORMED}),
    "17 last coefficient": (key_of(lambda key: key[:1149] + b"\x00\x10\xd0" + key[1152:]), {MALFORMED}),
    "17 bound, but no key": (turn(key="bm8ga2V5"), {MALFORMED}),
    "18 key empty": (turn(shown_key=""), {MISSING}),
    "20 padding not zero": (layout(padding=bytes(6) + b"\1"), {MALFORMED}),
    "20 another kind of quote": (layout(tee_type=0), {("tdx.quote_kind", "not_tdx_quote")}),
    "20 another version": (layout(version=3), {("tdx.quote_kind", "not_tdx_quote")}),
    "20 another vendor": (layout(vendor=bytes(16)), {("tdx.quote_kind", "wrong_constant")}),
    "24 evidence without key": (turn(key_entries=0), {MISSING}),
    "25 key without evidence": (turn(evidence_entries=0), {MISSING}),
    "25 failed and without evidence": (
        _lost,
        {MISSING},
    ),
    "27 evidence and failed": (lambda own, _f, s: s.failed_instance_ids.append(own.instance_id), {MALFORMED}),
    "22 two keys for an id": (turn(key_entries=2), {MALFORMED}),
    "29 no GPU": (turn(gpus=[]), {("gpu.present", "no_evidence")}),
    "31 other GPU nonce": (turn(gpu_nonce=OTHER), {("gpu.nonce_bound", "nonce_mismatch")}),
    "31 our nonce, not the hash": (
        turn(gpu_nonce=lambda own, *_: own.attested_nonce),
        {("gpu.nonce_bound", "nonce_mismatch")},
    ),
    "32 GPU signature": (
        turn(gpu_evidence=lambda own, *_: {0: evolve(own.gpus[0].evidence(own.binding), signature=bytes(95) + b"\1")}),
        {("gpu.evidence_signature", "signature_invalid")},
    ),
    "34 GPU of a stranger": (
        turn(gpus=lambda _o, _f, s: [NvidiaPki(s.keys, "stranger").device(0, fabric=False)]),
        {("gpu.cert_chain", "chain_root")},
    ),
    "35 NVIDIA says no": (
        turn(nras_bundle=lambda own, *_: own.nras.failed_bundle(own.gpus, own.binding)),
        {("gpu.nras_result", "result_overall")},
    ),
    "35 no, behind an overall yes": (
        nras(gpu_changes={0: {"x-nvidia-gpu-attestation-report-nonce-match": False}}),
        {("gpu.nras_result", "result_step")},
    ),
    "35 truthy is not true": (
        nras(overall_changes={"x-nvidia-overall-att-result": 1}),
        {("gpu.nras_token", "token_malformed")},
    ),
    "36 a GPU's token for our raw nonce": (
        lambda own, *_: own.nras.gpu_changes.update({0: {"eat_nonce": own.attested_nonce.hex()}}),
        {("gpu.nras_result", "result_nonce")},
    ),
    "37 unsigned token": (nras(header_changes={"alg": "none"}), {("gpu.nras_token", "token_malformed")}),
    "37 symmetric token": (nras(header_changes={"alg": "HS384"}), {("gpu.nras_token", "token_malformed")}),
    "37 unknown key": (nras(header_changes={"kid": "nv-eat-kid-other"}), {("gpu.nras_token", "key_unknown")}),
    "37 issuer": (nras(overall_changes={"iss": "https://nras.example"}), {("gpu.nras_token", "token_issuer")}),
    "37 forged signature": (nras(sign=lambda *_: bytes(95) + b"\1"), {("gpu.nras_token", "token_signature")}),
    "37 a token too few": (turn(nras_devices=[]), {("gpu.nras_token", "token_malformed")}),
    "37 token of another GPU": (
        turn(nras_devices=lambda _o, first, _s: first.gpus),
        {("gpu.nras_result", "result_device")},
    ),
}  # fmt: skip

# --- hostile answers --------------------------------------------------------------------------------------------------

DEEP: Final = b"[" * 5000 + b"]" * 5000
HOSTILE: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a page": b"<!doctype html><title>502</title>",
    "no object": b"[]",
    "null": b"null",
    "not UTF-8": b'{"a":"\xff"}',
    "surrogate": b'{"evidence":[{"instance_id":"\\ud800"}],"instances":[{"instance_id":"\\ud800"}]}',
    "not a number": b'{"evidence":NaN,"instances":NaN}',
    "a repeated key": b'{"evidence":[],"evidence":[],"instances":[],"instances":[]}',
    "deep": b'{"evidence":' + DEEP + b',"instances":' + DEEP + b"}",
    "deep inside": b'{"evidence":[{"a":' + DEEP[4900:5100] + b'}],"instances":[{"a":' + DEEP[4900:5100] + b"}]}",
    "other types": b'{"evidence":{"a":1},"instances":"x"}',
    "lists of others": b'{"evidence":[1],"instances":[null]}',
    "too many": compact({name: [{}] * (MAX_INSTANCES + 1) for name in ("evidence", "instances")}),
    "as many as may be": compact({name: [{}] * MAX_INSTANCES for name in ("evidence", "instances")}),
    "empty": b'{"evidence":[],"instances":[],"failed_instance_ids":[]}',
    "nulls": b'{"evidence":null,"instances":null,"failed_instance_ids":null}',
    "losses of another type": b'{"evidence":[],"instances":[],"failed_instance_ids":[1]}',
    "a long id": compact({name: [{"instance_id": "a" * 100_000}] for name in ("evidence", "instances")}),
    "ids that are none": compact(
        {name: [{"instance_id": one} for one in ("", "\u202e", "../x", "0" * 36)] for name in ("evidence", "instances")}
    ),
}
