"""MRCONFIGID of every version, against values computed here."""

from __future__ import annotations

import hashlib

import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from teeverify.claims.problem import Problem
from teeverify.crypto.digests import keccak256
from teeverify.errors import FormatError
from teeverify.formats.mr_config import (
    KEY_PROVIDER_KINDS,
    mr_config_v1,
    mr_config_v2,
    mr_config_v3,
    mr_config_version,
)

from . import real
from .attempts import Refused, attempt

COMPOSE, APP = hashlib.sha256(b"compose").digest(), bytes(range(20))


def test_keccak_is_the_original_and_not_sha3() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"").hex() == empty
    assert keccak256(b"") != hashlib.sha3_256(b"").digest()


def test_version_1() -> None:
    value = mr_config_v1(COMPOSE)
    assert value.hex() == "01" + COMPOSE.hex() + 15 * "00"
    assert mr_config_version(value) == 1


@pytest.mark.parametrize(("name", "kind"), [("none", 0), ("local", 1), ("kms", 2), ("tpm", 3)])
@pytest.mark.parametrize("provider", [b"", b"\x30\x59" + bytes(89)])
def test_version_2(name: str, kind: int, provider: bytes) -> None:
    digest = keccak.new(digest_bits=256)
    for part in (COMPOSE, APP, bytes([kind]), provider):
        digest.update(part)
    value = mr_config_v2(COMPOSE, APP, name, provider)
    assert value == b"\x02" + digest.digest() + bytes(15)
    assert mr_config_version(value) == 2
    assert set(KEY_PROVIDER_KINDS) == {"none", "local", "local-sgx", "kms", "tpm"}


@pytest.mark.parametrize("name", ["", "KMS", "local_sgx", "kms ", "2"])
def test_version_2_of_an_unknown_key_provider(name: str) -> None:
    with pytest.raises(FormatError) as refused:
        mr_config_v2(COMPOSE, APP, name, b"")
    assert refused.value.code == "key_provider_kind"


def test_version_3() -> None:
    document = b'{"version":3}'
    value = mr_config_v3(document)
    assert value == b"\x03" + hashlib.sha256(b"dstack-mr-config-v3:\0" + document).digest() + bytes(15)
    assert mr_config_version(value) == 3
    assert mr_config_v3(document + b"\n") != value


def test_zero_is_unset_only_where_all_of_it_is_zero() -> None:
    assert mr_config_version(bytes(48)) == 0
    for place in range(1, 48):
        value = bytearray(48)
        value[place] = 1
        with pytest.raises(FormatError) as refused:
            mr_config_version(bytes(value))
        assert refused.value.code == "mr_config_version"


@given(st.binary(min_size=48, max_size=48))
def test_other_versions_are_refused(value: bytes) -> None:
    result = attempt(lambda: mr_config_version(value))
    if isinstance(result, Refused):
        assert result.code == "mr_config_version"
        assert value[0] > 3 or value[0] == 0
    else:
        assert result == value[0] <= 3


def test_real_guests_have_version_1_of_their_compose_hash() -> None:
    for guest in real.guests():
        compose = guest.dstack.app_compose
        assert not isinstance(compose, Problem)
        expected = b"\x01" + hashlib.sha256(compose.text.encode()).digest() + bytes(15)
        assert guest.report.mr_config_id == expected == mr_config_v1(compose.compose_hash), guest.where
