"""Signatures at the edges of their mathematics, and statements that try to say more than they sign."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from eth_keys.datatypes import PrivateKey

from live.provider import MODEL, Provider, live_verifier
from teeverify.claims.exchange import ResponseSignature
from teeverify.crypto.digests import keccak256
from teeverify.crypto.signatures import recover_personal_signer, verify_ed25519
from teeverify.derivation.exchange import derive_signature
from teeverify.providers.near import NearVerifier
from teeverify.verdict import Outcome, VerifiedExchange

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PRIME: Final = 2**256 - 2**32 - 977
MESSAGE: Final = b"m:" + b"a" * 64 + b":" + b"b" * 64


def _digest(message: bytes) -> int:
    return int.from_bytes(keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message), "big")


def _raw(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


@pytest.mark.parametrize("secret", [1, 2, 3, 5, 12345])
def test_a_signature_that_recovers_the_point_at_infinity_names_nobody(secret: int) -> None:
    point = PrivateKey(secret.to_bytes(32, "big")).public_key.to_bytes()
    x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    s, odd = _digest(MESSAGE) * pow(secret, -1, ORDER) % ORDER, y & 1
    if s > ORDER // 2:
        s, odd = ORDER - s, odd ^ 1
    assert recover_personal_signer(MESSAGE, _raw(x, s, 27 + odd)) is None


def test_numbers_out_of_range_name_nobody_and_raise_nothing() -> None:
    edges = [0, 1, ORDER - 1, ORDER, ORDER // 2, ORDER // 2 + 1, PRIME - ORDER, 2**256 - 1]
    for r in edges:
        for s in edges:
            for v in (0, 1, 27, 28):
                found = recover_personal_signer(MESSAGE, _raw(r, s, v))
                assert found is None or (0 < r < ORDER and 0 < s <= ORDER // 2)


def test_a_signature_has_one_spelling_but_for_its_recovery_id() -> None:
    key = PrivateKey(b"\x33" * 32)
    own = bytearray(key.sign_msg(b"\x19Ethereum Signed Message:\n%d" % len(MESSAGE) + MESSAGE).to_bytes())
    address = key.public_key.to_canonical_address()
    accepted = [v for v in range(256) if recover_personal_signer(MESSAGE, bytes([*own[:64], v])) == address]
    assert accepted == [own[64], own[64] + 27]
    high = ORDER - int.from_bytes(own[32:64], "big")
    for v in range(256):
        assert recover_personal_signer(MESSAGE, bytes(own[:32]) + high.to_bytes(32, "big") + bytes([v])) is None
    for size in (0, 64, 66, 130):
        assert recover_personal_signer(MESSAGE, bytes(size)) is None


def test_an_ed25519_signature_has_one_spelling() -> None:
    provider = Provider()
    key = provider.key()
    signature, order = key.ed25519.sign(MESSAGE), 2**252 + 27742317777372353535851937790883648493
    assert verify_ed25519(key.ed25519_public, signature, MESSAGE)
    s = int.from_bytes(signature[32:], "little")
    for other in (s + order, s + 2 * order, order - s, s + 2**255):
        forged = signature[:32] + (other % 2**256).to_bytes(32, "little")
        assert not verify_ed25519(key.ed25519_public, forged, MESSAGE)
    for size in (0, 63, 65, 128):
        assert not verify_ed25519(key.ed25519_public, (signature * 2)[:size], MESSAGE)
    assert not verify_ed25519(key.ed25519_public[:31], signature, MESSAGE)


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa"])
def test_no_mangled_statement_is_valid_or_raises(algorithm: str) -> None:
    provider = Provider(algorithm=algorithm)
    provider.chat()
    statement = provider.signatures["chatcmpl-1"]
    original = derive_signature(statement, algorithm)
    assert isinstance(original, ResponseSignature)
    assert original.valid
    dice = random.Random(7)
    for _ in range(600):
        data = bytearray(statement)
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(data))
            if dice.random() < 0.5:
                data[place] = dice.randrange(256)
            else:
                del data[place]
        found = derive_signature(bytes(data), algorithm)
        if isinstance(found, ResponseSignature) and found.valid:  # a digit's case, a member that is not read
            assert (found.request_digest, found.response_digest, found.address, found.model) == (
                original.request_digest,
                original.response_digest,
                original.address,
                original.model,
            )


@pytest.fixture(scope="module")
def verifier() -> NearVerifier:
    """One for all tests: nothing that is refused is remembered."""
    return live_verifier(Provider())


def _judged(verifier: NearVerifier, **changes: Any) -> VerifiedExchange:
    provider = verifier.transport
    assert isinstance(provider, Provider)
    return verifier.verify_exchange(provider.chat(**changes))


@pytest.mark.parametrize(
    "named",
    [
        MODEL + "\u200b",
        MODEL + "\n",
        MODEL + " ",
        " " + MODEL,
        MODEL.upper(),
        MODEL.replace("t", "\u0442"),
        MODEL.replace("-", "\u2010"),
        MODEL + ":" + MODEL,
        ":" + MODEL,
        MODEL + ":",
        MODEL + ":" + "a" * 64,
        "\x00" + MODEL,
        MODEL + "\u0301",
        "\ufeff" + MODEL,
        "m" * 512,
    ],
)
def test_a_name_that_looks_like_the_models_is_another_one(named: str, verifier: NearVerifier) -> None:
    judged = _judged(verifier, named=named)
    assert judged.outcome is Outcome.REJECTED
    assert {check.reason for check in judged.checks if check.decides is judged.outcome} == {"other_model"}
    assert not any(c in judged.conclusion for c in "\n\x00\u200b\ufeff")


@pytest.mark.parametrize(
    "changes",
    [
        {"error_code": "STREAM_DISCONNECTED"},
        {"error": {}},
        {"error": ""},
        {"error_code": 0},
        {"signing_algo": "ecdsa"},
        {"signing_algo": "ED25519"},
        {"signing_algo": None},
        {"signature_kind": ""},
        {"signature_kind": "PROVIDER_TEE"},
        {"signature_kind": ["provider_tee"]},
        {"signature_kind": False},
        {"signature_kind": "gateway"},
        {"text": None},
        {"text": ["x"]},
        {"text": "a" * 2000},
        {"signing_address": "00" * 32},
        {"signing_address": "01" + "00" * 31, "signature": "01" + "00" * 63},
        {"signing_address": "0x" + "11" * 32},
    ],
)
def test_statements_that_say_something_else(changes: dict[str, Any], verifier: NearVerifier) -> None:
    judged = _judged(verifier, **changes)
    assert not judged.verified
    assert (judged.signed_by, judged.signer) == (None, None)


@pytest.mark.parametrize("verified", [True, "true", 1])
def test_words_of_the_provider_are_no_verdict(verified: Any, verifier: NearVerifier) -> None:
    assert not _judged(verifier, verified=verified, valid=verified, outcome="VERIFIED", signature="00" * 64).verified


def test_a_statement_with_a_repeated_member_is_none() -> None:
    provider = Provider()
    chat = provider.chat()
    text, verifier = provider.signatures["chatcmpl-1"].decode(), live_verifier(provider)
    for name, value in json.loads(text).items():
        doubled = text[:-1] + f', "{name}": {json.dumps(value)}}}'
        provider.signatures["chatcmpl-1"] = doubled.encode()
        assert verifier.verify_exchange(chat).outcome is Outcome.REJECTED
