"""JSON in one spelling: the vectors of the chain API, RFC 8785, and what has no spelling."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import pytest

from teeverify.crypto.digests import keccak256
from teeverify.crypto.signatures import recover_personal_signer, verify_ed25519
from teeverify.errors import FormatError
from teeverify.formats.canonical_json import ascii_canonical, jcs

NONCE: Final = "0" * 63 + "1"
PAYLOAD: Final = {
    "upstream_attestation_sha256": "00" * 32,
    "upstream_base_url": "https://api.chutes.ai",
    "timestamp": 1700000000,
    "provider": "chutes",
    "model": "m/\u00e9",
    "nonce": NONCE,
}
ADDRESS: Final = bytes.fromhex("19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A")
ECDSA: Final = bytes.fromhex(
    "2f6806c6a7f3ac0d0572e0f15bef6dc778d384f65f00253330f74d2ce08ab7fd"
    "5a9bb67aa97551f4264ea11a4fad803792f1fca4a0e988c332b6cc98553d48ea1b"
)
ED25519: Final = bytes.fromhex(
    "4ec1e22ff655879cf5c828d30ea7d8888117f187f5bbadc34ffa4f9c8e22cbe5"
    "75278ce689ae9fb774bd6be0be6ae6135c652ef1fc0f517f9e066809e027700c"
)
ED25519_KEY: Final = bytes.fromhex("a09aa5f47a6759802ff955f8dc2d2a14a5c99d23be97f864127ff9383455a4f0")


def test_the_payload_of_the_chain_vector() -> None:
    message = ascii_canonical(PAYLOAD)
    assert len(message) == 279
    assert b'"model":"m/\\u00e9","nonce":"000' in message
    assert message.startswith(b'{"model":')
    assert message.endswith(b'"upstream_base_url":"https://api.chutes.ai"}')


def test_the_signatures_of_the_chain_vector() -> None:
    message = ascii_canonical(PAYLOAD)
    digest = keccak256(b"\x19Ethereum Signed Message:\n279" + message)
    assert digest.hex() == "4cba9473e1fd1044597f5d84b48087ccb8cd0e14e48b2c8299da65f1a18e8e12"
    assert recover_personal_signer(message, ECDSA) == ADDRESS
    assert verify_ed25519(ED25519_KEY, ED25519, message)


@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_any_other_payload_is_signed_by_nobody(name: str) -> None:
    old = PAYLOAD[name]
    message = ascii_canonical({**PAYLOAD, name: old + 1 if isinstance(old, int) else f"{old}0"})
    assert recover_personal_signer(message, ECDSA) != ADDRESS
    assert not verify_ed25519(ED25519_KEY, ED25519, message)


def test_the_request_hash_of_the_chain_vector() -> None:
    expected = "e9654f7652d3ff7385cb2e5a120a1f2e89fbb73cbe3489e42543dfeac3f58a35"
    assert hashlib.sha256(f"m/\u00e9:{NONCE}".encode()).hexdigest() == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, True, None], "a": {"d": "", "c": []}}, b'{"a":{"c":[],"d":""},"b":[1,true,null]}'),
        ('\u2028/"\\\n\x7f', b'"\\u2028/\\"\\\\\\n\\u007f"'),
        ("\U0001f600", b'"\\ud83d\\ude00"'),
        ({"\U0001f600": 1, "\ufb33": 2}, b'{"\\ufb33":2,"\\ud83d\\ude00":1}'),
        ({"10": 1, "9": 2}, b'{"10":1,"9":2}'),
        (1.5, b"1.5"),
    ],
)
def test_the_spelling_of_the_proxy(value: Any, text: bytes) -> None:
    assert ascii_canonical(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'),
        ({"\u20ac": "\u20ac$\x0f\nA'B\"\\\\\"/", "1": [2**53, -(2**53), True, None]},
         '{"1":[9007199254740992,-9007199254740992,true,null],"\u20ac":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'),
    ],
)  # fmt: skip
def test_the_spelling_of_rfc_8785(value: Any, text: str) -> None:
    assert jcs(value) == text.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_what_the_proxy_cannot_spell(value: Any) -> None:
    with pytest.raises(FormatError, match="cannot spell"):
        ascii_canonical(value)


@pytest.mark.parametrize("value", [1.5, 1.0, [2**53 + 1], {"a": -(2**53) - 1}, float("nan"), "\ud800", {"\ud800": 1}])
def test_what_rfc_8785_is_not_done_for(value: Any) -> None:
    with pytest.raises(FormatError):
        jcs(value)
