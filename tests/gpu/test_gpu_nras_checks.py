"""gpu.nras_token and gpu.nras_result: the attacks on NVIDIA's answer, under test keys."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from attrs import evolve
from cryptography.hazmat.primitives import hashes, serialization

from teeverify.appraisal import fold
from teeverify.checks.catalogue import get_check
from teeverify.claims.gpu import GpuClaims, NrasClaims
from teeverify.claims.problem import Problem, ProblemKind, problems_in
from teeverify.derivation.gpu import derive_gpu
from teeverify.formats.nras import DEVICE_FLAGS
from teeverify.verdict import Outcome, Status

from . import synthetic as s
from .judging import find, judge

HOST = [s.device(number) for number in range(3)]
MISSING = Problem(kind=ProblemKind.UNAVAILABLE, code="http_outage", detail="the service answered 503")
REFUSED = Problem(kind=ProblemKind.UNAVAILABLE, code="http_status", detail="the service answered 400")


def put(**claims: Any) -> s.Edit:
    """Set claims; names are written with underscores."""
    return lambda document: document.update(claims)


def drop(name: str) -> s.Edit:
    return lambda document: document.pop(name)


def overall(edit: s.Edit) -> GpuClaims:
    return s.claims_of(HOST, service=s.Service(overall=edit))


def gpu(edit: s.Edit) -> GpuClaims:
    return s.claims_of(HOST, service=s.Service(gpu=edit))


def bundle(edit: Callable[[Any], Any]) -> GpuClaims:
    return s.claims_of(HOST, service=s.Service(bundle=edit))


def raw(edit: Callable[[bytes], bytes]) -> GpuClaims:
    return s.claims_of(HOST, service=edit(s.Service().answer(HOST)))


def overall_text(edit: Callable[[str], str]) -> GpuClaims:
    return bundle(lambda value: [["JWT", edit(value[0][1])], value[1]])


def parts_edit(edit: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return lambda token: ".".join(edit(token.split(".")))


def reheadered(header: dict[str, Any]) -> GpuClaims:
    return overall_text(parts_edit(lambda parts: [s.b64url(json.dumps(header).encode()), *parts[1:]]))


def payload_edit(**claims: Any) -> GpuClaims:
    """Change claims and keep the signature."""

    def edit(parts: list[str]) -> list[str]:
        document = jwt.decode(".".join(parts), options={"verify_signature": False})
        return [parts[0], s.b64url(json.dumps({**document, **claims}).encode()), parts[2]]

    return overall_text(parts_edit(edit))


def public_pem() -> bytes:
    return (
        s.service_key()
        .key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def hs256(key: bytes) -> GpuClaims:
    def forge(parts: list[str]) -> list[str]:
        head = s.b64url(json.dumps({"alg": "HS256", "kid": s.KID}).encode())
        mac = hmac.new(key, f"{head}.{parts[1]}".encode(), hashlib.sha256).digest()
        return [head, parts[1], s.b64url(mac)]

    return overall_text(parts_edit(forge))


def submods(edit: s.Edit) -> GpuClaims:
    return overall(lambda claims: edit(claims["submods"]))


def keys(*members: dict[str, Any]) -> GpuClaims:
    return s.claims_of(HOST, keys=s.key_set(*members))


def swapped(value: Any) -> Any:
    tokens = value[1]
    return [value[0], {**tokens, "GPU-0": tokens["GPU-1"], "GPU-1": tokens["GPU-0"]}]


def without_last(value: Any) -> Any:
    return [value[0], {name: token for name, token in value[1].items() if name != "GPU-2"}]


def foreign_token(value: Any) -> Any:
    return [value[0], {**value[1], "GPU-0": s.sign(s.device_claims(s.device(9)))}]


def duplicate_member(body: bytes) -> bytes:
    tokens = json.loads(body)[1]
    return body[:-2] + f', "GPU-0": "{tokens["GPU-0"]}"}}]'.encode()


OTHER_CA = s.issue("Test Attestation Service Intermediate", s.rsa_key("rogue service"), hash_algorithm=hashes.SHA256())
SAME_KEY_NO_CA = s.issue(
    "Test Attestation Service Intermediate", s.service_ca().key, ca=False, hash_algorithm=hashes.SHA256()
)


def token_leaf(issuer: s.Issued | None = None, **changes: Any) -> s.Issued:
    settings: dict[str, Any] = {"ca": None, "cert_sign": None, "hash_algorithm": hashes.SHA256(), **changes}
    return s.issue("Test token", s.p384_key("service token"), issuer or s.service_ca(), **settings)


def with_chain(*chain: s.Issued) -> GpuClaims:
    return keys(s.jwk(chain=chain))


TOKEN_CASES = {
    # shapes
    "object": ("token_malformed", raw(lambda _: b"{}")),
    "string": ("token_malformed", raw(lambda _: b'"ok"')),
    "no device tokens": ("token_malformed", bundle(lambda value: [value[0], {}])),
    "three elements": ("token_malformed", bundle(lambda value: [*value, {}])),
    "duplicate member": ("token_malformed", raw(duplicate_member)),
    "device token not text": ("token_malformed", bundle(lambda value: [value[0], {**value[1], "GPU-0": 7}])),
    # algorithm and header
    "alg none": ("token_malformed", reheadered({"alg": "none", "kid": s.KID})),
    "alg none without signature": (
        "token_malformed",
        overall_text(parts_edit(lambda p: [s.b64url(b'{"alg":"none"}'), p[1], ""])),
    ),
    "HS256 keyed with the public key": ("token_malformed", hs256(public_pem())),
    "HS256 keyed secret": ("token_malformed", hs256(b"secret")),
    "ES256": ("token_malformed", reheadered({"alg": "ES256", "kid": s.KID})),
    "embedded key": ("token_malformed", reheadered({"alg": "ES384", "kid": s.KID, "jwk": s.jwk()})),
    "jku": ("token_malformed", reheadered({"alg": "ES384", "kid": s.KID, "jku": "https://evil.example/jwks"})),
    "x5c": ("token_malformed", reheadered({"alg": "ES384", "kid": s.KID, "x5c": []})),
    "crit": ("token_malformed", reheadered({"alg": "ES384", "kid": s.KID, "crit": ["exp"]})),
    "typ of something else": ("token_malformed", reheadered({"alg": "ES384", "kid": s.KID, "typ": "at+jwt"})),
    "no kid": ("token_malformed", reheadered({"alg": "ES384"})),
    "padding": ("token_malformed", overall_text(lambda token: token + "=")),
    "four parts": ("token_malformed", overall_text(lambda token: token + ".x")),
    "white space": ("token_malformed", overall_text(lambda token: " " + token)),
    "signature stripped": ("token_malformed", overall_text(parts_edit(lambda p: [p[0], p[1], ""]))),
    # signature and key
    "payload changed": ("token_signature", payload_edit(**{"x-nvidia-overall-att-result": True, "jti": "x"})),
    "signature changed": (
        "token_signature",
        overall_text(parts_edit(lambda p: [p[0], p[1], s.b64url(bytes(96))])),
    ),
    "attacker's key under the real id": (
        "token_signature",
        s.claims_of(HOST, service=s.Service(signer=s.device_root())),
    ),
    "unknown key": ("key_unknown", s.claims_of(HOST, service=s.Service(headers={"kid": "other kid"}))),
    "rotated out": ("key_unknown", keys(s.jwk(kid="newer"))),
    "key of another curve": ("key_unknown", keys({**s.jwk(), "crv": "P-256"})),
    "duplicate kid": ("key_set_malformed", keys(s.jwk(), s.jwk(s.service_key("other")))),
    "key set of another shape": ("key_set_malformed", s.claims_of(HOST, keys=b'{"keys": {}}')),
    "key without id": ("key_set_malformed", keys({"kty": "EC"})),
    "short coordinate": ("key_set_malformed", keys({**s.jwk(), "x": "AA"})),
    "chain not a list": ("key_set_malformed", keys({**s.jwk(), "x5c": "AA"})),
    "chain not certificates": ("key_set_malformed", keys({**s.jwk(), "x5c": ["AAAA", "AAAA"]})),
    "no chain": ("key_chain_missing", keys({name: v for name, v in s.jwk().items() if name != "x5c"})),
    "leaf only": ("key_chain_missing", with_chain(s.service_key())),
    "rogue CA of the same name": ("key_issuer_unpinned", with_chain(token_leaf(OTHER_CA), OTHER_CA)),
    "pinned key in a certificate that is no CA": ("key_not_issued", with_chain(s.service_key(), SAME_KEY_NO_CA)),
    "pinned CA beside a foreign leaf": ("key_not_issued", with_chain(token_leaf(OTHER_CA), s.service_ca())),
    "pinned CA, other organization": ("key_not_issued", with_chain(token_leaf(organization="Evil"), s.service_ca())),
    "another key of the pinned CA": ("key_mismatch", with_chain(s.service_key("other"), s.service_ca())),
    "leaf expired": ("key_time", with_chain(token_leaf(not_after=s.NOW - timedelta(hours=1)), s.service_ca())),
    "leaf of tomorrow": ("key_time", with_chain(token_leaf(not_before=s.NOW), s.service_ca())),
    # claims about the token
    "issuer": ("token_issuer", overall(put(iss="https://nras.attestation.nvidia.com/"))),
    "issuer missing": ("token_malformed", overall(drop("iss"))),
    "subject": ("token_subject", overall(put(sub="NVIDIA-GPU-ATTESTATION"))),
    "version": ("token_version", overall(put(**{"x-nvidia-ver": "3.0"}))),
    "exp missing": ("token_malformed", overall(drop("exp"))),
    "exp text": ("token_malformed", overall(put(exp=str(s.IAT + 3600)))),
    "exp float": ("token_malformed", overall(put(exp=s.IAT + 3600.0))),
    "iat true": ("token_malformed", overall(put(iat=True))),
    "exp far away": ("token_malformed", overall(put(exp=1 << 50))),
    "exp negative": ("token_malformed", overall(put(exp=-1))),
    "lives for a day": ("token_lifetime", overall(put(exp=s.IAT + 86400))),
    "expires before it begins": ("token_lifetime", overall(put(exp=s.IAT))),
    "begins before it was issued": ("token_lifetime", overall(put(nbf=s.IAT - 1))),
    "nonce of another session": ("token_nonce", overall(put(eat_nonce="00" * 32))),
    "nonce list": ("token_malformed", overall(put(eat_nonce=[s.NONCE.hex()]))),
    "nonce missing": ("token_malformed", overall(drop("eat_nonce"))),
    "overall result text": ("token_malformed", overall(put(**{"x-nvidia-overall-att-result": "true"}))),
    "overall result 1": ("token_malformed", overall(put(**{"x-nvidia-overall-att-result": 1}))),
    "overall result missing": ("token_malformed", overall(drop("x-nvidia-overall-att-result"))),
    # which devices
    "swapped": ("token_digest", bundle(swapped)),
    "token of another answer": ("token_digest", bundle(foreign_token)),
    "dropped": ("token_devices", bundle(without_last)),
    "added": ("token_devices", bundle(lambda value: [value[0], {**value[1], "GPU-3": value[1]["GPU-0"]}])),
    "renamed": ("token_devices", submods(lambda mods: mods.update({"SWITCH-2": mods.pop("GPU-2")}))),
    "no submods": ("token_devices", submods(lambda mods: mods.clear())),
    "submods missing": ("token_malformed", overall(drop("submods"))),
    "SHA-1": ("token_malformed", submods(lambda mods: mods["GPU-0"].__setitem__(1, ["SHA-1", "00" * 20]))),
    "not a digest": ("token_malformed", submods(lambda mods: mods.update({"GPU-0": ["JWT", "x"]}))),
    "fewer GPUs in hand": ("token_devices", s.claims_of(HOST[:2], service=s.Service().answer(HOST))),
}


@pytest.mark.parametrize(("reason", "claims"), TOKEN_CASES.values(), ids=TOKEN_CASES.keys())
def test_bad_token(reason: str, claims: GpuClaims) -> None:
    finding = find("gpu.nras_token", claims)
    assert (finding.status, finding.reason) == (Status.FAIL, reason), finding.summary
    assert not [problem for problem in problems_in(claims) if problem.kind is ProblemKind.MALFORMED]
    for nras in ("required", "when_present"):
        assert fold(judge(claims, s.policy_of(nras=nras)).values()) is Outcome.REJECTED
    assert fold(judge(claims, s.policy_of(nras="ignore")).values()) is Outcome.VERIFIED


def only_times(claims: dict[str, Any]) -> dict[str, Any]:
    """What the token of a failed device keeps."""
    for name in claims.keys() - {"iss", "iat", "nbf", "exp"}:
        del claims[name]
    return claims


RESULT_CASES = {
    "overall false": ("result_overall", overall(put(**{"x-nvidia-overall-att-result": False}))),
    "error with overall true": ("result_error", gpu(put(**{"x-nvidia-error-details": {"code": 4010}}))),
    "error null": ("result_error", gpu(put(**{"x-nvidia-error-details": None}))),
    "issuer": ("result_issuer", gpu(put(iss="https://nras.example"))),
    "expired": ("result_time", gpu(put(iat=s.IAT - 7200, nbf=s.IAT - 7200, exp=s.IAT - 3600))),
    "stale": ("result_time", gpu(put(iat=s.IAT - 1200, nbf=s.IAT - 1200, exp=s.IAT + 2400))),
    "nonce": ("result_nonce", gpu(put(eat_nonce="00" * 32))),
    "nonce missing": ("result_nonce", gpu(drop("eat_nonce"))),
    "another device": ("result_device", gpu(put(ueid=s.device(9).ueid))),
    "no device": ("result_device", gpu(drop("ueid"))),
    "another chip": ("result_model", gpu(put(hwmodel="GB100"))),
    "no chip": ("result_model", gpu(drop("hwmodel"))),
    "measurements fail": ("result_measurements", gpu(put(measres="fail"))),
    "measurements almost": ("result_measurements", gpu(put(measres="success "))),
    "measurements missing": ("result_measurements", gpu(drop("measres"))),
    "secboot false": ("result_secure_boot", gpu(put(secboot=False))),
    "secboot null": ("result_secure_boot", gpu(put(secboot=None))),
    "secboot missing": ("result_secure_boot", gpu(drop("secboot"))),
    "debug enabled": ("result_debug", gpu(put(dbgstat="enabled"))),
    "debug null": ("result_debug", gpu(put(dbgstat=None))),
    "warning": ("result_warning", gpu(put(**{"x-nvidia-attestation-warning": "certificate hold"}))),
    "warning missing": ("result_warning", gpu(drop("x-nvidia-attestation-warning"))),
    "driver": ("result_version", gpu(put(**{"x-nvidia-gpu-driver-version": "570.172.09"}))),
    "driver missing": ("result_version", gpu(drop("x-nvidia-gpu-driver-version"))),
    "VBIOS": ("result_version", gpu(put(**{"x-nvidia-gpu-vbios-version": "96.00.cf.00.02"}))),
    **{f"{flag} false": ("result_step", gpu(put(**{flag: False}))) for flag in DEVICE_FLAGS},
    **{f"{flag} missing": ("result_step", gpu(drop(flag))) for flag in DEVICE_FLAGS},
    "bare error token": (
        "result_error",
        gpu(lambda claims: only_times(claims).update({"x-nvidia-error-details": {"message": "NONCE_NOT_MATCHING"}})),
    ),
    "no claims": ("result_nonce", gpu(only_times)),
}


@pytest.mark.parametrize(("reason", "claims"), RESULT_CASES.values(), ids=RESULT_CASES.keys())
def test_bad_result(reason: str, claims: GpuClaims) -> None:
    assert find("gpu.nras_token", claims).status is Status.PASS
    finding = find("gpu.nras_result", claims)
    assert (finding.status, finding.reason) == (Status.FAIL, reason), finding.summary
    assert "GPU-2" in finding.summary or reason == "result_overall"
    assert fold(judge(claims, s.policy_of(nras="when_present")).values()) is Outcome.REJECTED


@pytest.mark.parametrize("claim", ["secboot", "measres", "dbgstat", *DEVICE_FLAGS])
@pytest.mark.parametrize("value", [1, [], {"true": True}])
def test_truthy_value_of_another_type(claim: str, value: object) -> None:
    assert find("gpu.nras_token", gpu(put(**{claim: value}))).reason == "token_malformed"


@pytest.mark.parametrize("claim", ["secboot", *DEVICE_FLAGS])
def test_true_as_text(claim: str) -> None:
    assert find("gpu.nras_token", gpu(put(**{claim: "true"}))).reason == "token_malformed"


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (timedelta(hours=2), "token_expired"),
        (timedelta(minutes=30), "token_stale"),
        (timedelta(minutes=-10), "token_not_yet_valid"),
        (timedelta(seconds=s.NOW.timestamp() - s.IAT, minutes=14), ""),
        (timedelta(seconds=-100), ""),
    ],
)
def test_clock(shift: timedelta, reason: str) -> None:
    at = s.NOW + shift
    assert find("gpu.nras_token", s.claims_of(HOST, at=at), at=at).reason == reason


@pytest.mark.parametrize("nras", ["required", "when_present"])
def test_a_recorded_refusal_is_not_a_missing_answer(nras: str) -> None:
    claims = s.claims_of(HOST, service=REFUSED)
    found = find("gpu.nras_token", claims, s.policy_of(nras=nras))
    assert (found.status, found.reason) == (Status.UNEVALUATED, "nras_missing")
    assert fold(judge(claims, s.policy_of(nras=nras)).values()) is Outcome.INCONCLUSIVE


def test_missing_answer() -> None:
    for claims in (evolve(s.claims_of(HOST), nras=None), s.claims_of(HOST, service=MISSING)):
        for check_id in ("gpu.nras_token", "gpu.nras_result"):
            required = find(check_id, claims)
            assert (required.status, required.reason) == (Status.UNEVALUATED, "nras_missing")
            relaxed = find(check_id, claims, s.policy_of(nras="when_present"))
            assert (relaxed.status, relaxed.reason) == (Status.NOT_APPLICABLE, "nras_missing")
            ignored = find(check_id, claims, s.policy_of(nras="ignore"))
            assert (ignored.status, ignored.reason) == (Status.NOT_APPLICABLE, "nras_ignored")
        assert fold(judge(claims).values()) is Outcome.INCONCLUSIVE
        assert fold(judge(claims, s.policy_of(nras="when_present")).values()) is Outcome.VERIFIED


@pytest.mark.parametrize("nras", ["required", "when_present"])
def test_missing_key_set_leaves_the_token_unevaluated(nras: str) -> None:
    claims = s.claims_of(HOST, keys=MISSING)
    assert find("gpu.nras_token", claims).reason == "keys_not_available"
    assert find("gpu.nras_token", claims).reason in get_check("gpu.nras_token").reasons
    results = judge(claims, s.policy_of(nras=nras))
    assert results["gpu.nras_result"].status is Status.UNEVALUATED
    assert fold(results.values()) is Outcome.INCONCLUSIVE


def test_key_set_that_nobody_asked_for() -> None:
    claims = derive_gpu(
        s.payload(HOST),
        expected_nonce=s.NONCE,
        nonce_binding="nonce-shared",
        at=s.NOW,
        roots=s.roots(),
        nras_answer=s.Service().answer(HOST),
        jwks_answer=None,
    )
    assert find("gpu.nras_token", claims).reason == "keys_not_available"


def test_result_check_alone_never_passes_without_tokens() -> None:
    claims = s.claims_of(HOST)
    assert isinstance(claims.nras, NrasClaims)
    answer = evolve(claims.nras.answer, devices=claims.nras.answer.devices[:2])
    shorter = evolve(claims, nras=evolve(claims.nras, answer=answer))
    assert find("gpu.nras_result", shorter).reason == "result_device"
    assert find("gpu.nras_result", s.claims_of(HOST, service=b"{}")).reason == "token_malformed"


def test_replayed_answer_of_another_session() -> None:
    old = [evolve(item, nonce=bytes(32)) for item in HOST]
    edit = put(eat_nonce=bytes(32).hex())
    answer = s.Service(overall=edit, gpu=edit).answer(old)
    assert find("gpu.nras_token", s.claims_of(HOST, service=answer)).reason == "token_nonce"


def test_overall_nonce_fresh_and_device_nonce_old() -> None:
    assert find("gpu.nras_result", gpu(put(eat_nonce=bytes(32).hex()))).reason == "result_nonce"


def test_sdk_digest_label_is_accepted() -> None:
    relabel: s.Edit = lambda mods: [submod[1].__setitem__(0, "SHA256") for submod in mods.values()]  # noqa: E731
    assert find("gpu.nras_token", submods(relabel)).status is Status.PASS


def test_typ_jwt_is_accepted() -> None:
    assert find("gpu.nras_token", s.claims_of(HOST, service=s.Service(headers={"typ": "JWT"}))).status is Status.PASS


@pytest.mark.parametrize("check_id", ["gpu.nras_token", "gpu.nras_result"])
def test_every_reason_is_reached(check_id: str) -> None:
    elsewhere = {
        "no_gpu_evidence",
        "nras_ignored",
        "nras_missing",
        "keys_not_available",
        "token_expired",
        "token_not_yet_valid",
        "token_stale",
    }
    cases = TOKEN_CASES if check_id == "gpu.nras_token" else RESULT_CASES
    reached = {reason for reason, _ in cases.values()} | elsewhere | {"token_malformed"}
    assert set(get_check(check_id).reasons) <= reached


@pytest.mark.parametrize("nras", ["required", "when_present"])
@pytest.mark.parametrize("body", [b"<html>captive portal</html>", b"", b"\xff", s.Service().answer(HOST)[:-20]])
def test_a_body_that_is_no_document_is_an_outage_and_never_a_missing_answer(nras: str, body: bytes) -> None:
    """An outage is no attack, and a recorded bad answer is not a missing one."""
    found = find("gpu.nras_token", raw(lambda _: body), s.policy_of(nras=nras))
    assert (found.status, found.reason) == (Status.UNEVALUATED, "nras_missing")


def test_a_key_set_that_is_no_document_is_an_outage() -> None:
    found = find("gpu.nras_token", s.claims_of(HOST, keys=b"<html>"))
    assert (found.status, found.reason) == (Status.UNEVALUATED, "keys_not_available")
