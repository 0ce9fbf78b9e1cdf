"""gpu.nras_token and gpu.nras_result: what NVIDIA's attestation service says, and whether it is NVIDIA that says it.

The service knows what the evidence alone cannot tell: which firmware measurements are good, and which certificates are
revoked. It answers HTTP 200 for a failed attestation too; only the signed claims count.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from ..claims.gpu import GpuClaims, GpuDevice, NrasClaims
from ..claims.problem import Problem, ProblemKind, UnjudgeableError, need
from ..claims.subject import Subject
from ..formats.nras import DEVICE_FLAGS, DeviceToken, OverallToken, TokenTimes
from ..limits import MAX_TOKEN_AGE, MAX_TOKEN_LIFETIME, TOKEN_SKEW
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated
from .gpu_findings import NO_EVIDENCE, is_there, no_evidence

__all__ = ["judge_nras_result", "judge_nras_token"]

_ISSUER: Final = "https://nras.attestation.nvidia.com"
_SUBJECT: Final = "NVIDIA-PLATFORM-ATTESTATION"
_VERSION: Final = "2.0"
_ADVICE: Final = "do not use this endpoint until a fresh answer of NVIDIA is good"

_GATE_REASONS: Final = {
    **NO_EVIDENCE,
    "nras_ignored": "The policy does not ask for the opinion of NVIDIA's service.",
    "nras_missing": "There is no answer of NVIDIA's service.",
    "token_malformed": "The answer of NVIDIA's service does not have its format.",
}

_TOKEN_FAULTS: Final = {
    "token_issuer": "The token names another issuer than NVIDIA's attestation service.",
    "token_subject": "The token is about something else than a platform.",
    "token_version": "The token's claims are of a version that is not known.",
    "token_lifetime": "The token's times contradict one another, or it lives longer than NVIDIA's tokens do.",
    "token_expired": "The token had expired at the time of the verdict.",
    "token_not_yet_valid": "The token is from after the time of the verdict.",
    "token_stale": "The token is too old for a fresh challenge.",
    "token_nonce": "The token answers another challenge than ours.",
    "token_devices": "The tokens are not one for each GPU of the evidence.",
    "token_digest": "A GPU's token is not the one that the overall token signs.",
}

_RESULT_FAULTS: Final = {
    "result_overall": "NVIDIA's overall result is not true.",
    "result_error": "NVIDIA reports an error for a GPU.",
    "result_issuer": "A GPU's token names another issuer.",
    "result_time": "A GPU's token is not of the time of the verdict.",
    "result_nonce": "A GPU's token answers another challenge, or none.",
    "result_device": "A GPU's token is about another device than the entry of the same number.",
    "result_model": "A GPU's token names another chip than the GPU's certificates.",
    "result_measurements": "NVIDIA does not report that the firmware measurements are good.",
    "result_secure_boot": "NVIDIA does not report that the GPU booted securely.",
    "result_debug": "NVIDIA does not report that debugging is disabled.",
    "result_step": "A step of NVIDIA's own verification is missing or did not succeed.",
    "result_warning": "NVIDIA attached a warning, or the claim that there is none is missing.",
    "result_version": "NVIDIA judged another driver or VBIOS version than the evidence reports.",
}


@check(
    "gpu.nras_token",
    title="NVIDIA's answer is genuine, fresh and about these GPUs",
    explanation=(
        "NVIDIA runs a service that judges GPU evidence and signs its opinion. The signature must be NVIDIA's, the "
        "answer must be for this challenge and recent, and it must hold one signed opinion for each GPU. What the "
        "opinion is, is judged separately."
    ),
    source="RFC 7515 (JWS); RFC 7519 (JWT); RFC 9711 (EAT) section 5; NVIDIA Attestation documentation, claims 2.0",
    anchor="NVIDIA attestation service key",
    reasons={
        **_GATE_REASONS,
        "keys_not_available": "The key set that the token's signature is checked with could not be had.",
        "key_set_malformed": "The recorded key set does not have its format, or has two keys of one id.",
        "key_unknown": "The key set has no key of the id that the token names.",
        "key_chain_missing": "The key comes without the certificates that vouch for it.",
        "key_issuer_unpinned": "The CA that vouches for the key is not one that is pinned.",
        "key_not_issued": "The pinned CA did not certify the key for NVIDIA.",
        "key_mismatch": "The key is not the one in its certificate.",
        "key_time": "The key's certificates are not valid at the time of the token.",
        "token_signature": "The token is not signed by the key that it names.",
        **_TOKEN_FAULTS,
    },
)
def judge_nras_token(subject: Subject, policy: Policy) -> Finding:
    """Key, signature, claims about the token itself, and the digests that tie the devices' tokens to it."""
    gate = _answer(subject, policy)
    if isinstance(gate, Finding):
        return gate
    claims, nras = gate
    for problem in (nras.signing_key, nras.signature):
        if problem is not None and problem.kind is not ProblemKind.INVALID:
            raise UnjudgeableError(problem)
        if problem is not None:
            return failed(problem.code, f"NVIDIA's answer cannot be believed: {problem.detail}; {_ADVICE}")
    fault = next(_token_faults(claims, nras, subject.evaluated_at), None)
    if fault is not None:
        return failed(fault, f"{_TOKEN_FAULTS[fault][:-1]}; {_ADVICE}")
    return passed(
        f"NVIDIA's service signed an answer to this challenge with a token for each of {len(claims.devices)} GPUs"
    )


@check(
    "gpu.nras_result",
    title="NVIDIA finds every GPU good",
    explanation=(
        "NVIDIA compares the firmware measurements of each GPU with the values it published, and asks whether a "
        "certificate was revoked. Every single statement about every GPU must be positive and must fit the evidence in "
        "hand; a statement that is missing is not a positive one."
    ),
    source="RFC 9711 (EAT); NVIDIA Attestation documentation, claims 2.0",
    anchor="NVIDIA attestation service key",
    requires=("gpu.nras_token",),
    reasons={**_GATE_REASONS, **_RESULT_FAULTS},
)
def judge_nras_result(subject: Subject, policy: Policy) -> Finding:
    """Every claim of every token, against the devices' own evidence."""
    gate = _answer(subject, policy)
    if isinstance(gate, Finding):
        return gate
    claims, nras = gate
    if nras.answer.overall.result is not True:
        return failed(
            "result_overall", f"NVIDIA's overall result is false; {_ADVICE}", expected="true", observed="false"
        )
    tokens = {token.name: token for token in nras.answer.devices}
    for device in claims.devices:
        token = tokens.get(device.name)
        fault = "result_device" if token is None else next(_device_faults(device, token, claims, subject), None)
        if fault is not None:
            return failed(fault, f"{device.name}: {_RESULT_FAULTS[fault][:-1]}; {_ADVICE}")
    return passed(f"NVIDIA's service finds all {len(claims.devices)} GPUs good")


def _answer(subject: Subject, policy: Policy) -> tuple[GpuClaims, NrasClaims] | Finding:
    """The answer to judge, or the finding where there is none."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    if policy.gpu.nras == "ignore":
        return not_applicable("nras_ignored", "the policy does not ask for the opinion of NVIDIA's service")
    need(claims.payload)
    nras = claims.nras
    if nras is None or (isinstance(nras, Problem) and nras.kind is ProblemKind.UNAVAILABLE):
        why = "nobody asked it" if nras is None else nras.detail
        # Recorded, and not a good answer: that is not a missing one.
        refused = nras is not None and nras.code in ("http_status", "not_an_answer", "answer_too_long")
        if policy.gpu.nras == "when_present" and not refused:
            return not_applicable(
                "nras_missing", f"there is no answer of NVIDIA's service ({why}); the policy does not demand one"
            )
        return unevaluated(
            "nras_missing", f"there is no answer of NVIDIA's service ({why}) and the policy demands one; ask it"
        )
    if isinstance(nras, Problem):
        return failed("token_malformed", f"NVIDIA's answer cannot be read: {nras.detail}; {_ADVICE}")
    return claims, nras


def _token_faults(claims: GpuClaims, nras: NrasClaims, at: datetime) -> Iterator[str]:
    overall = nras.answer.overall
    if overall.issuer != _ISSUER:
        yield "token_issuer"
    if overall.subject != _SUBJECT:
        yield "token_subject"
    if overall.version != _VERSION:
        yield "token_version"
    yield from _time_faults(overall.times, at)
    if not hmac.compare_digest(overall.nonce, claims.expected_nonce):
        yield "token_nonce"
    yield from _bundle_faults(overall, nras.answer.devices, {device.name for device in claims.devices})


def _time_faults(times: TokenTimes, at: datetime) -> Iterator[str]:
    now = at.timestamp()
    if not times.iat <= times.nbf < times.exp <= times.iat + MAX_TOKEN_LIFETIME:
        yield "token_lifetime"
    if now > times.exp + TOKEN_SKEW:
        yield "token_expired"
    if now < times.nbf - TOKEN_SKEW:
        yield "token_not_yet_valid"
    if now - times.iat > MAX_TOKEN_AGE:
        yield "token_stale"


def _bundle_faults(overall: OverallToken, tokens: tuple[DeviceToken, ...], names: set[str]) -> Iterator[str]:
    """The digests are all that ties the devices' tokens to the signed one, so the three sets of names must be equal."""
    if overall.submods.keys() != names or {token.name for token in tokens} != names:
        yield "token_devices"
    elif any(not hmac.compare_digest(overall.submods[token.name], token.text_sha256) for token in tokens):
        yield "token_digest"


def _device_faults(device: GpuDevice, token: DeviceToken, claims: GpuClaims, subject: Subject) -> Iterator[str]:
    if token.has_error:
        yield "result_error"
    if token.issuer != _ISSUER:
        yield "result_issuer"
    if any(_time_faults(token.times, subject.evaluated_at)):
        yield "result_time"
    if token.nonce is None or not hmac.compare_digest(token.nonce, claims.expected_nonce):
        yield "result_nonce"
    yield from _opinion_faults(token)
    yield from _identity_faults(device, token)


def _opinion_faults(token: DeviceToken) -> Iterator[str]:
    if token.measres != "success":
        yield "result_measurements"
    if token.secboot is not True:
        yield "result_secure_boot"
    if token.dbgstat != "disabled":
        yield "result_debug"
    if any(token.flags.get(flag) is not True for flag in DEVICE_FLAGS):
        yield "result_step"
    if not token.without_warning:
        yield "result_warning"


def _identity_faults(device: GpuDevice, token: DeviceToken) -> Iterator[str]:
    certificate, evidence = need(device.certificate), need(device.evidence)
    if token.ueid != certificate.ueid:
        yield "result_device"
    if token.hwmodel != certificate.chip:
        yield "result_model"
    judged, reported = (token.driver_version, token.vbios_version), (evidence.driver_version, evidence.vbios_version)
    if None in reported or judged != reported:
        yield "result_version"
