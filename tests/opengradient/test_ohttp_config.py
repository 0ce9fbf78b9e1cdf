"""The OHTTP key: its configuration, the points of low order, and the hash that binds it to an enclave."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.crypto.digests import keccak256
from teeverify.crypto.rsa import load_rsa_key, verify_pss
from teeverify.errors import FormatError
from teeverify.formats.ohttp_config import (
    SUITE,
    OhttpKey,
    OhttpSuite,
    config_hash,
    parse_key_config,
    read_served_config,
    require_x25519_key,
    write_key_config,
)

from .abi_encoding import HPKE_KEY
from .vectors import SIGNING_KEY, VECTORS

BLOB = bytes.fromhex(VECTORS["key_config"])
TEE_ID = bytes.fromhex(VECTORS["tee_id"][2:])
P = 2**255 - 19


def key_code(key: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        require_x25519_key(key, what="the key")
    return refused.value.code


def blob_code(blob: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        parse_key_config(blob, what="the configuration")
    return refused.value.code


def test_the_golden_hash_of_the_gateway() -> None:
    key = b"\x02" * 32
    blob = write_key_config(OhttpKey(key_id=1, public_key=key))
    found = config_hash(bytes(range(32)), 1, SUITE, public_key=key, key_config=blob)
    assert found.hex() == "f2a783a780198b72145ce4f4824c3de4993975e17ee8df1e59f3b5dd78a0f1d9"


def test_the_signed_configuration_of_the_vector() -> None:
    vector = VECTORS["ohttp_config"]
    found = config_hash(TEE_ID, 1, SUITE, public_key=HPKE_KEY, key_config=base64.b64decode(vector["kc_b64"]))
    assert found.hex() == vector["config_hash"]
    assert verify_pss(load_rsa_key(SIGNING_KEY, what="x"), base64.b64decode(vector["sig"]), found)


def test_the_hash_depends_on_every_field() -> None:
    def found(tee_id: bytes = TEE_ID, key_id: int = 1, suite: OhttpSuite = SUITE, **changed: bytes) -> bytes:
        return config_hash(tee_id, key_id, suite, **{"public_key": HPKE_KEY, "key_config": BLOB, **changed})

    others = [
        found(tee_id=bytes(32)),
        found(key_id=2),
        found(suite=OhttpSuite(kem_id=33, kdf_id=1, aead_id=3)),
        found(suite=OhttpSuite(kem_id=32, kdf_id=2, aead_id=3)),
        found(suite=OhttpSuite(kem_id=32, kdf_id=1, aead_id=1)),
        found(public_key=bytes(32)),
        found(key_config=BLOB[:-1]),
    ]
    assert len({found(), *others}) == len(others) + 1


def test_a_configuration() -> None:
    key = parse_key_config(BLOB, what="x")
    assert key == OhttpKey(key_id=1, public_key=HPKE_KEY)
    assert write_key_config(key) == BLOB
    assert base64.b64encode(BLOB).decode() == VECTORS["ohttp_config"]["kc_b64"]


@pytest.mark.parametrize("size", [0, 40, 42, 43, 45])
def test_configurations_of_another_length(size: int) -> None:
    """Also the form with a length before it, and one that lists a second pair of algorithms."""
    assert blob_code((BLOB + bytes(8))[:size]) == "wrong_length"


@pytest.mark.parametrize("place", [1, 2, 35, 36, 37, 38, 39, 40])
def test_other_algorithms(place: int) -> None:
    """R-10."""
    assert blob_code(bytes([*BLOB[:place], BLOB[place] ^ 1, *BLOB[place + 1 :]])) == "ohttp_suite"


LOW_ORDER = [
    0,
    1,
    P - 1,
    P,
    P + 1,
    P - 1 + 2**255,
    2**255,
    2**255 + 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    39382357235489614581723060781553021112529911719440698176882885853963445705823 + 2**255,
]


@pytest.mark.parametrize("coordinate", LOW_ORDER)
def test_points_of_low_order(coordinate: int) -> None:
    """R-10: with each of these, X25519 itself gives nothing but zeros."""
    key = coordinate.to_bytes(32, "little")
    assert key_code(key) == "x25519_low_order"
    assert blob_code(BLOB[:3] + key + BLOB[35:]) == "x25519_low_order"
    with pytest.raises(ValueError, match="shared"):
        X25519PrivateKey.from_private_bytes(b"\x07" * 32).exchange(X25519PublicKey.from_public_bytes(key))


@pytest.mark.parametrize("coordinate", [P + 2, P + 18, 2**255 + 9, 2**256 - 1])
def test_second_spellings_of_a_point(coordinate: int) -> None:
    assert key_code(coordinate.to_bytes(32, "little")) == "x25519_encoding"


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_another_length(size: int) -> None:
    assert key_code(b"\x09" * size) == "wrong_length"


@given(st.binary(min_size=32, max_size=32))
def test_usable_keys_of_honest_software(secret: bytes) -> None:
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    assert require_x25519_key(public, what="x") == public
    assert parse_key_config(write_key_config(OhttpKey(key_id=9, public_key=public)), what="x").public_key == public


@given(st.binary(max_size=60) | st.binary(min_size=41, max_size=41))
def test_arbitrary_configurations(blob: bytes) -> None:
    result = attempt(lambda: parse_key_config(blob, what="x"))
    assert isinstance(result, Refused) or write_key_config(result) == blob


def served(**changed: Any) -> dict[str, Any]:
    """What an enclave serves; None takes a member out."""
    members = {
        "key_id": 1,
        "kem_id": 32,
        "kdf_id": 1,
        "aead_id": 3,
        "public_key": HPKE_KEY.hex(),
        "key_config": VECTORS["ohttp_config"]["kc_b64"],
        "tee_id": VECTORS["tee_id"],
        "signature": VECTORS["ohttp_config"]["sig"],
        "signature_hash": f"0x{VECTORS['ohttp_config']['config_hash']}",
        **changed,
    }
    return {name: value for name, value in members.items() if value is not None}


def test_a_served_configuration() -> None:
    found = read_served_config(served(), what="x")
    assert (found.tee_id, found.key.public_key, found.key_config) == (TEE_ID, HPKE_KEY, BLOB)
    assert found.config_hash(TEE_ID) == found.signature_hash
    assert found.config_hash(keccak256(b"")) != found.signature_hash
    assert found.signature is not None
    assert verify_pss(load_rsa_key(SIGNING_KEY, what="x"), found.signature, found.config_hash(TEE_ID))


def test_an_early_gateway_signs_nothing() -> None:
    found = read_served_config(served(tee_id=None, signature=None, signature_hash=None), what="x")
    assert (found.tee_id, found.signature, found.signature_hash) == (None, None, None)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"key_id": 2}, "ohttp_inconsistent"),
        ({"key_id": True}, "ohttp_inconsistent"),
        ({"key_id": 1.0}, "ohttp_inconsistent"),
        ({"kem_id": 33}, "ohttp_inconsistent"),
        ({"kdf_id": 2}, "ohttp_inconsistent"),
        ({"aead_id": 1}, "ohttp_inconsistent"),
        ({"aead_id": None}, "ohttp_inconsistent"),
        ({"public_key": "02" * 32}, "ohttp_inconsistent"),
        ({"public_key": "0x" + "02" * 31}, "not_hex"),
        ({"public_key": "02" * 31}, "wrong_length"),
        ({"public_key": None}, "not_hex"),
        ({"key_config": None}, "not_base64"),
        ({"key_config": VECTORS["ohttp_config"]["kc_b64"] + "\n"}, "wrong_length"),
        ({"key_config": VECTORS["ohttp_config"]["kc_b64"].replace("A", "\n", 1)}, "not_base64"),
        ({"signature": None}, "ohttp_signature_partial"),
        ({"tee_id": None}, "ohttp_signature_partial"),
        ({"tee_id": "00"}, "wrong_length"),
        ({"signature": "!!"}, "not_base64"),
        ({"signature_hash": 5}, "not_hex"),
    ],
)
def test_served_configurations_that_do_not_agree(changed: dict[str, Any], code: str) -> None:
    assert attempt(lambda: read_served_config(served(**changed), what="x")) == Refused(code)


def test_an_empty_signature_verifies_nothing() -> None:
    found = read_served_config(served(signature=""), what="x")
    assert found.signature == b""
    assert not verify_pss(load_rsa_key(SIGNING_KEY, what="x"), b"", found.config_hash(TEE_ID))
