"""A document of a production enclave, signed by AWS: its values, its verdict then and now, and every byte changed."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime, timedelta, timezone
from typing import Final

import pytest
from attrs import evolve

from teeverify.claims.problem import Problem
from teeverify.crypto import nitro as crypto_nitro
from teeverify.crypto.certificates import load_der, verify_chain
from teeverify.crypto.digests import keccak256
from teeverify.derivation.nitro import derive_nitro, served_document
from teeverify.formats.nitro_document import NitroDocument, parse_document
from teeverify.policy import Policy
from teeverify.roots import PRODUCTION_ROOTS
from teeverify.verdict import Outcome, Status

from .enclaves import REAL_AT, ROOTS, checks_of, judge, policy_of, real_path, subject_of

NONCE: Final = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")
USER_DATA: Final = bytes.fromhex(
    "1220b735546536e78ee12beea2d384fcda35f7491446c6858f79fa7ad5e4ae89b49f"
    "1220abf9d7453422eb419fc1391604b070a81bd6a61f4d9ae0ee71ab24d77670c154"
)
PCR1: Final = "4b4d5b3661b3efc12920900c80e126e4ce783c522de6c02a2a5bf7af3a2b9327b86776f188e4be1c1c404a129dbda493"


@pytest.fixture(scope="module")
def data() -> bytes:
    found = served_document(real_path().read_bytes())
    assert isinstance(found, bytes)
    return found


@pytest.fixture(scope="module")
def document(data: bytes) -> NitroDocument:
    return parse_document(data)


def test_its_values(data: bytes, document: NitroDocument) -> None:
    assert len(data) == 4556
    assert document.module_id == "i-0340e0cb833504eb6-enc019c12d31f78864d"
    assert document.timestamp == datetime(2026, 2, 12, 17, 56, 2, 724000, tzinfo=timezone.utc)
    assert (document.nonce, document.user_data, document.public_key) == (NONCE, USER_DATA, b"dummy")
    pcrs = [document.pcrs[index].hex() for index in range(16)]
    assert (pcrs[0][:8], pcrs[0][-6:], pcrs[1], pcrs[2][:8], pcrs[2][-6:]) == (
        "9baef839", "cce0ff", PCR1, "769925c8", "337666",
    )  # fmt: skip
    assert [index for index, value in enumerate(pcrs) if value.strip("0")] == [0, 1, 2, 4]
    image = b"".join(document.pcrs[index] for index in (0, 1, 2))
    assert keccak256(image).hex() == "8082af22571613eabd5dad9c7e857c4f16154ded3d387386d8193b53906f6a24"
    assert hashlib.sha256(document.cabundle[0]).digest() == PRODUCTION_ROOTS.aws_root_sha256


def test_its_chain(data: bytes) -> None:
    claims = derive_nitro(data, at=REAL_AT, roots=PRODUCTION_ROOTS)
    assert (claims.trust, claims.signature) == (None, None)
    assert not isinstance(claims.chain, Problem)
    assert claims.chain.not_before == datetime(2026, 2, 12, 17, 55, 59, tzinfo=timezone.utc)
    assert claims.chain.not_after == datetime(2026, 2, 12, 20, 56, 2, tzinfo=timezone.utc)


def _pinned(document: NitroDocument, valid: datetime = REAL_AT) -> Policy:
    table = {f"pcr{index}": document.pcrs[index] for index in (0, 1, 2)}
    return evolve(policy_of(pcrs=(table,)), valid_until=valid.date())


def test_its_verdict(data: bytes, document: NitroDocument) -> None:
    subject = subject_of(data, at=REAL_AT, roots=PRODUCTION_ROOTS, challenge=NONCE + bytes(12))
    assert subject.nitro is not None
    nitro = evolve(subject.nitro, tls_certificate_sha256=USER_DATA[2:34], signing_key_sha256=USER_DATA[36:])
    verdict = judge(evolve(subject, nitro=nitro), _pinned(document))
    assert verdict.outcome is Outcome.VERIFIED
    assert {check.status for check in verdict.checks} == {Status.PASS}
    assert not any(check.anchor.startswith("TEST") for check in verdict.checks)


@pytest.mark.parametrize(
    ("at", "is_good"),
    [
        ("2026-02-12T17:55:58", False),
        ("2026-02-12T17:55:59", True),
        ("2026-02-12T20:56:02", True),
        ("2026-02-12T20:56:03", False),
        ("2026-11-21T00:00:00", False),
    ],
)
def test_it_is_good_for_three_hours(at: str, is_good: bool, data: bytes) -> None:
    when = datetime.fromisoformat(at).replace(tzinfo=timezone.utc)
    claims = derive_nitro(data, at=when, roots=PRODUCTION_ROOTS)
    assert (claims.trust is None) is is_good
    if claims.trust is not None:
        assert claims.trust.code == "chain_time"
        assert claims.genuine_document is None


def test_it_is_refused_under_test_roots_and_test_documents_under_aws(data: bytes) -> None:
    claims = derive_nitro(data, at=REAL_AT, roots=ROOTS)
    assert claims.trust is not None
    assert claims.trust.code == "chain_root"
    assert ROOTS.aws_root_sha256 != PRODUCTION_ROOTS.aws_root_sha256


def test_it_is_too_old_minutes_later(data: bytes, document: NitroDocument) -> None:
    for seconds, reason in ((300, ""), (302, "too_old")):
        at = REAL_AT + timedelta(seconds=seconds)
        verdict = judge(subject_of(data, at=at, roots=PRODUCTION_ROOTS), _pinned(document))
        assert checks_of(verdict)["nitro.timestamp"].reason == reason


def test_every_changed_byte_is_refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of every byte in turn: never genuine, and never an exception.

    Equal certificates are read once, and equal links verified once.
    """
    monkeypatch.setattr(crypto_nitro, "verify_chain", functools.partial(verify_chain, verified_links={}))
    monkeypatch.setattr(crypto_nitro, "load_der", functools.partial(load_der, memo={}))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        claims = derive_nitro(bytes(changed), at=REAL_AT, roots=PRODUCTION_ROOTS)
        assert claims.genuine_document is None, position


def test_every_byte_that_matters_most_in_every_way(data: bytes, document: NitroDocument) -> None:
    """All 255 other values of each byte of the envelope and of the heads around it."""
    start = data.index(document.payload)
    end = start + len(document.payload)
    envelope = [*range(start + 1), end - 1, end, end + 1]
    assert len(envelope) == 14
    for position in envelope:
        for value in range(256):
            if value == data[position]:
                continue
            changed = data[:position] + bytes([value]) + data[position + 1 :]
            claims = derive_nitro(changed, at=REAL_AT, roots=PRODUCTION_ROOTS)
            assert claims.genuine_document is None, (position, value)


def test_every_truncation_and_extension_is_refused(data: bytes) -> None:
    for length in [*range(0, len(data), 7), len(data) - 1]:
        assert derive_nitro(data[:length], at=REAL_AT, roots=PRODUCTION_ROOTS).genuine_document is None
    for byte in range(256):
        assert derive_nitro(data + bytes([byte]), at=REAL_AT, roots=PRODUCTION_ROOTS).genuine_document is None
