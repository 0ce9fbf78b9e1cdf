"""Signature primitives, with values that other implementations made."""

import pytest

from teeverify.crypto.digests import keccak256
from teeverify.crypto.signatures import ethereum_address, recover_personal_signer, verify_ed25519

# Private key 33 repeated, seed 00 to 1f; known answers, computed before this code and apart from it.
ADDRESS = bytes.fromhex("5cbdd86a2fa8dc4bddd8a8f69dba48572eec07fb")
PUBLIC = bytes.fromhex(
    "3c72addb4fdf09af94f0c94d7fe92a386a7e70cf8a1d85916386bb2535c7b1b1"
    "3b306b0fe085665d8fc1b28ae1676cd3ad6e08eaeda225fe38d0da4de55703e0"
)
MESSAGE = (
    b"m:c3f7bdf537c46724392c4428e47e04c148c56966190c3c9ed92114800c9f35bb:"
    b"d30db74ae503504cf0eff5cf28a7f23188e0bed27b2484fac73ebbe7e2b1b746"
)
SIGNATURE = bytes.fromhex(
    "466f83d7e53bdd8480010bbb7ced02eb17b03531acd335b9d5ccaef5aa630c4f"
    "7ad53ad357dc7b554227a9be0db2572a0d5af9957dc49292cd93be4f0e2a3dfc1c"
)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ED25519_KEY = bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
ED25519_SIGNATURE = bytes.fromhex(
    "e938769c2e92658fc7756146f7514678e8e21e2904ae939bf381d8ade3678496"
    "d368c87da09e92cc73b17599fb4306e600b50fd26769d577bf2eb8c899a9e202"
)


def test_keccak_is_ethereums_and_not_sha3() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_address_of_a_key() -> None:
    assert ethereum_address(PUBLIC) == ADDRESS
    for wrong in (b"", PUBLIC[:-1], b"\x04" + PUBLIC, bytes(64), PUBLIC[:63] + b"\x00"):
        assert ethereum_address(wrong) is None


def test_signer_of_a_message() -> None:
    assert recover_personal_signer(MESSAGE, SIGNATURE) == ADDRESS
    assert recover_personal_signer(MESSAGE, SIGNATURE[:64] + b"\x01") == ADDRESS
    assert recover_personal_signer(MESSAGE + b" ", SIGNATURE) != ADDRESS
    assert recover_personal_signer(MESSAGE, SIGNATURE[:64] + b"\x1b") != ADDRESS


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        SIGNATURE[:64],
        SIGNATURE + b"\x00",
        SIGNATURE[:64] + b"\x02",
        SIGNATURE[:64] + b"\x1d",
        bytes(64) + b"\x1b",
        SIGNATURE[:32] + bytes(32) + b"\x1b",
        ORDER.to_bytes(32, "big") + SIGNATURE[32:],
        SIGNATURE[:32] + (ORDER - int.from_bytes(SIGNATURE[32:64], "big")).to_bytes(32, "big") + b"\x1b",
        b"\xff" * 65,
    ],
)
def test_no_signer(signature: bytes) -> None:
    """Wrong lengths, other recovery ids, zeros, numbers out of range, and the high-s twin of a good signature."""
    assert recover_personal_signer(MESSAGE, signature) is None


def test_ed25519() -> None:
    assert verify_ed25519(ED25519_KEY, ED25519_SIGNATURE, MESSAGE)
    assert not verify_ed25519(ED25519_KEY, ED25519_SIGNATURE, MESSAGE + b" ")
    assert not verify_ed25519(ED25519_KEY, ED25519_SIGNATURE[:-1], MESSAGE)
    assert not verify_ed25519(ED25519_KEY[:-1], ED25519_SIGNATURE, MESSAGE)
    assert not verify_ed25519(b"\xff" * 32, ED25519_SIGNATURE, MESSAGE)
