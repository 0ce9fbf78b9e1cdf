"""RSA keys in one encoding, and signatures of one scheme."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.crypto.rsa import load_rsa_key, verify_pss
from teeverify.errors import FormatError

from .rsa_keys import private_key, pss, signatures_of_other_schemes, spki, spki_of
from .vectors import SIGNING_KEY, VECTORS

KEY = load_rsa_key(SIGNING_KEY, what="the key")


def code_of(der: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        load_rsa_key(der, what="the key")
    return refused.value.code


def parts() -> tuple[bytes, bytes]:
    numbers = private_key().public_key().public_numbers()
    return numbers.n.to_bytes(257, "big"), numbers.e.to_bytes(3, "big")


def ec_key() -> bytes:
    public = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_good_key() -> None:
    key = load_rsa_key(spki(private_key()), what="the key")
    assert (key.bits, key.signature_size, key.der) == (2048, 256, spki(private_key()))
    assert load_rsa_key(spki_of(*parts()), what="the key") == key
    assert (KEY.bits, len(KEY.der)) == (2048, 294)


def test_refused_keys() -> None:
    """R-8: a key of another kind, size, exponent, algorithm or encoding."""
    modulus, exponent = parts()
    assert code_of(ec_key()) == "rsa_kind"
    assert code_of(spki(private_key(1024))) == "rsa_size"
    assert code_of(spki(private_key(2048, 3))) == "rsa_exponent"
    assert code_of(spki_of(modulus, exponent, oid="1.2.840.113549.1.1.10")) == "rsa_kind"  # RSASSA-PSS
    assert code_of(spki_of(modulus, exponent, parameters=b"")) == "rsa_kind"
    assert code_of(spki_of(modulus, b"\0" + exponent)) in ("rsa_syntax", "rsa_encoding")
    assert code_of(spki_of(b"\0" + modulus, exponent)) in ("rsa_syntax", "rsa_encoding")
    assert code_of(spki_of(modulus, exponent, spare=4)) in ("rsa_syntax", "rsa_encoding")
    assert code_of(spki_of(b"\x7f" + bytes(1024), exponent)) in ("rsa_syntax", "rsa_size")
    assert code_of(bytes(2000)) == "rsa_size"


@pytest.mark.parametrize("cut", [0, 1, 20, 293])
def test_no_whole_key(cut: int) -> None:
    assert code_of(SIGNING_KEY[:cut]) in ("rsa_syntax", "rsa_kind")


def test_nothing_may_follow_a_key() -> None:
    assert code_of(SIGNING_KEY + b"\0") == "rsa_syntax"
    assert code_of(b"\x30\x81" + SIGNING_KEY[1:]) == "rsa_syntax"
    assert code_of(SIGNING_KEY[:1] + b"\x83\x00" + SIGNING_KEY[2:]) == "rsa_syntax"  # a length with a zero before it


@given(st.integers(0, 293), st.integers(1, 255))
def test_a_changed_key_is_refused_or_another_key(place: int, change: int) -> None:
    changed = bytes([*SIGNING_KEY[:place], SIGNING_KEY[place] ^ change, *SIGNING_KEY[place + 1 :]])
    result = attempt(lambda: load_rsa_key(changed, what="the key"))
    assert isinstance(result, Refused) or (result != KEY and result.der == changed)
    if not isinstance(result, Refused):
        vector = VECTORS["text"]
        assert not verify_pss(result, base64.b64decode(vector["sig"]), bytes.fromhex(vector["msg_hash"]))


@given(st.binary(max_size=400))
def test_arbitrary_keys(der: bytes) -> None:
    attempt(lambda: load_rsa_key(der, what="the key"))


@pytest.mark.parametrize("case", ["text", "tool_calls"])
def test_signatures_of_the_vectors(case: str) -> None:
    vector = VECTORS[case]
    signature, message = base64.b64decode(vector["sig"]), bytes.fromhex(vector["msg_hash"])
    assert verify_pss(KEY, signature, message)
    for place in (0, 100, 255):
        assert not verify_pss(KEY, _flipped(signature, place), message)
    assert not verify_pss(KEY, signature, _flipped(message, 31))
    assert not verify_pss(KEY, signature, b"")


def test_the_message_is_no_digest() -> None:
    """The vector's second hash is what PSS makes inside; nobody signed it as a message."""
    vector = VECTORS["text"]
    assert not verify_pss(KEY, base64.b64decode(vector["sig"]), bytes.fromhex(vector["sha256_of_msg"]))


def test_signatures_of_other_schemes() -> None:
    """S-11."""
    message = bytes(range(32))
    key = load_rsa_key(spki(private_key()), what="the key")
    assert verify_pss(key, pss(message), message)
    for name, signature in signatures_of_other_schemes(message).items():
        assert not verify_pss(key, signature, message), name


@pytest.mark.parametrize("size", [0, 1, 255, 257, 512])
def test_signatures_of_another_length(size: int) -> None:
    assert not verify_pss(KEY, bytes(size), bytes(32))
    assert not verify_pss(KEY, b"\xff" * size, bytes(32))


def test_a_signature_with_zeros_before_it() -> None:
    signature, message = base64.b64decode(VECTORS["text"]["sig"]), bytes.fromhex(VECTORS["text"]["msg_hash"])
    assert not verify_pss(KEY, b"\0" + signature, message)
    assert not verify_pss(KEY, b"\xff" * 256, message)  # a number above the modulus


def _flipped(data: bytes, place: int) -> bytes:
    return bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]])
