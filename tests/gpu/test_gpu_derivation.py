"""derive_gpu is total, and verifies what eight GPUs share only once."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.claims.gpu import GpuClaims, GpuDevice
from teeverify.claims.problem import Problem, ProblemKind, problems_in
from teeverify.crypto import certificates
from teeverify.derivation.gpu import derive_gpu
from teeverify.verdict import Status

from . import synthetic as s
from .judging import GPU_CHECKS, find

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
encoded = st.binary(max_size=120).map(s.b64)
pems = st.binary(max_size=80).map(
    lambda data: s.b64(b"-----BEGIN CERTIFICATE-----\n" + s.b64(data).encode() + b"\n-----END CERTIFICATE-----\n")
)
entries = st.fixed_dictionaries({"certificate": encoded | pems, "evidence": encoded})
GOOD = s.device().entry()
ANSWER = s.Service().answer([s.device()])


def derive(value: object, answer: bytes | Problem | None = None, keys: bytes | Problem | None = None) -> GpuClaims:
    return derive_gpu(
        value,
        expected_nonce=s.NONCE,
        nonce_binding="nonce-shared",
        at=s.NOW,
        roots=s.roots(),
        nras_answer=answer,
        jwks_answer=keys,
    )


def judge_all(claims: GpuClaims) -> None:
    for check_id in GPU_CHECKS:
        find(check_id, claims)


@settings(deadline=None)
@given(json_values | st.lists(entries, max_size=3), st.binary(max_size=60), st.binary(max_size=60))
def test_never_raises(value: object, answer: bytes, keys: bytes) -> None:
    for form in (value, json.dumps(value), json.dumps({"evidence_list": value})):
        judge_all(derive(form, answer, keys))


@settings(max_examples=200, deadline=None)
@given(entries, st.booleans(), st.integers(0, len(ANSWER) - 1), st.integers(0, 255))
def test_never_raises_on_parts(entry: dict[str, str], keep_chain: bool, position: int, byte: int) -> None:
    mixed = {**entry, "certificate": GOOD["certificate"]} if keep_chain else {**entry, "evidence": GOOD["evidence"]}
    answer = ANSWER[:position] + bytes([byte]) + ANSWER[position + 1 :]
    claims = derive([mixed], answer, s.key_set())
    judge_all(claims)
    assert find("gpu.evidence_signature", claims).status is not Status.PASS


def test_problems_are_kept_apart() -> None:
    """A bad answer of NVIDIA's service is not malformed evidence of the attester."""
    for answer, kind in ((b"{}", ProblemKind.INVALID), (b"<html>", ProblemKind.UNAVAILABLE)):
        claims = derive([GOOD], answer, None)
        assert [problem.kind for problem in problems_in(claims)] == [kind]
    unavailable = Problem(kind=ProblemKind.UNAVAILABLE, code="http_status", detail="the service answered 503")
    assert derive([GOOD], unavailable, None).nras is unavailable
    assert derive([GOOD], None, None).nras is None


def test_devices_have_numbers_and_labels() -> None:
    claims = derive([evolve(s.device(n), label_nonce=s.NONCE.hex()).entry() for n in range(2)])
    first, second = claims.devices
    assert isinstance(first, GpuDevice)
    assert (first.name, second.name, second.label, second.label_nonce) == ("GPU-0", "GPU-1", "HOPPER", s.NONCE)
    assert s.device().ueid not in repr(claims)


def test_what_is_shared_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[tuple[bytes, bytes]] = []
    original = certificates._signature_verifies

    def counting(child: certificates.Certificate, issuer: certificates.Certificate) -> bool:
        verified.append((child.der, issuer.der))
        return original(child, issuer)

    monkeypatch.setattr(certificates, "_signature_verifies", counting)
    derive([s.device(number).entry() for number in range(8)])
    assert len(verified) == len(set(verified)) == 2 * 8 + 2
