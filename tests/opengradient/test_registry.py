"""Records of the registry contract: both layouts, and the rules that keys in them must meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.crypto.digests import keccak256
from teeverify.errors import FormatError
from teeverify.formats.ohttp_config import OhttpKey
from teeverify.formats.pcr_hash import DEBUG_PCR_HASH, pcr_hash
from teeverify.providers import opengradient_registry as registry
from teeverify.providers.opengradient_registry import TeeRecord, read_active_tees, read_tee
from teeverify.testing import certificates
from teeverify.testing.keys import KeyRing

from .abi_encoding import HPKE_KEY, Array, Record, Text, encode_values, ohttp, tee, word
from .rsa_keys import private_key, spki
from .vectors import SIGNING_KEY, VECTORS

VECTOR = bytes.fromhex(VECTORS["active_tees"])


def active(*records: Record) -> bytes:
    return encode_values((Array(records),))


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(FormatError) as refused:
        call()
    return refused.value.code


def record(**changed: Any) -> TeeRecord:
    (found,) = read_active_tees(active(tee(SIGNING_KEY, ohttp())))
    return attrs.evolve(found, **changed)


def with_ohttp(**changed: Any) -> TeeRecord:
    found = record()
    assert found.ohttp is not None
    return attrs.evolve(found, ohttp=attrs.evolve(found.ohttp, **changed))


def test_the_vector_of_the_protocol() -> None:
    (found,) = read_active_tees(VECTOR)
    assert found.owner == b"\x11" * 20
    assert found.payment_address == b"\x22" * 20
    assert found.endpoint == "https://192.0.2.7"
    assert (found.signing_key, found.tls_certificate) == (bytes.fromhex("3003020105"), b"\x30\x00")
    assert (found.pcr_hash, found.tee_type, found.enabled) == (b"\xab" * 32, registry.LLM_PROXY, True)
    assert (found.registered_at, found.last_heartbeat_at) == (0x698E1432, 0x698E1458)
    assert found.ohttp is not None
    assert attrs.astuple(found.ohttp)[:5] == (1, 32, 1, 3, HPKE_KEY)
    assert found.ohttp.key_config.hex() == VECTORS["key_config"]
    assert found.ohttp.registered_at == 0x698E1433
    assert active(tee(ohttp_config=ohttp())) == VECTOR


def test_one_record_and_many() -> None:
    one = encode_values((tee(SIGNING_KEY, ohttp()),))
    assert read_tee(one) == read_active_tees(active(tee(SIGNING_KEY, ohttp())))[0]
    found = read_active_tees(active(tee(SIGNING_KEY, ohttp()), tee(ohttp_config=ohttp())))
    assert [len(one.signing_key) for one in found] == [294, 5]
    assert read_active_tees(active()) == ()


def test_the_legacy_layout_has_no_key_to_encrypt_to() -> None:
    """R-2."""
    (found,) = read_active_tees(active(tee(SIGNING_KEY)))
    assert found == read_tee(encode_values((tee(SIGNING_KEY),)))
    assert found.ohttp is None
    assert registry.ohttp_key_of(found) is None
    assert found.tee_id == record().tee_id


@pytest.mark.parametrize("pointer", [0, 0x120, 0x141, 0x180, 2**255])
def test_records_of_another_layout(pointer: int) -> None:
    at = 3 * 32 + 2 * 32
    changed = VECTOR[:at] + word(pointer) + VECTOR[at + 32 :]
    assert code_of(lambda: read_active_tees(changed)) == "registry_layout"
    assert code_of(lambda: read_tee(word(32) + changed[3 * 32 :])) == "registry_layout"


def test_one_layout_is_not_read_as_the_other() -> None:
    """R-2, R-3: a pointer that lies about the layout, and a list of both."""
    at = 3 * 32 + 2 * 32
    lying = VECTOR[:at] + word(0x140) + VECTOR[at + 32 :]
    assert code_of(lambda: read_active_tees(lying)) == "abi_not_utf8"  # the next pointer is taken for a length
    legacy = active(tee())
    lying = legacy[:at] + word(0x160) + legacy[at + 32 :]
    assert code_of(lambda: read_active_tees(lying)) == "abi_truncated"  # text is taken for a length
    assert code_of(lambda: read_active_tees(active(tee(), tee(ohttp_config=ohttp())))) == "abi_pointer"
    assert code_of(lambda: read_active_tees(active(tee(ohttp_config=ohttp()), tee()))) == "abi_pointer"


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        (0, 1 << 160, "abi_address"),
        (1, 2**256 - 1, "abi_address"),
        (2, Text(b"\xff"), "abi_not_utf8"),
        (6, 300, "abi_integer"),
        (7, 2, "abi_bool"),
        (10, ohttp(numbers=(256, 32, 1, 3)), "abi_integer"),
        (10, ohttp(numbers=(1, 1 << 16, 1, 3)), "abi_integer"),
        (10, ohttp(numbers=(1, 32, 1, 2**256 - 1)), "abi_integer"),
    ],
)
def test_members_that_do_not_fit(place: int, value: Any, code: str) -> None:
    """R-3."""
    changed = tee(ohttp_config=ohttp()).with_member(place, value)
    assert code_of(lambda: read_active_tees(active(changed))) == code
    assert code_of(lambda: read_tee(encode_values((changed,)))) == code


def test_every_byte_of_an_answer_counts() -> None:
    """R-3: whatever is changed is refused, or is seen in the record."""
    good = read_active_tees(VECTOR)
    for place in range(len(VECTOR)):
        changed = bytes([*VECTOR[:place], VECTOR[place] ^ 0x41, *VECTOR[place + 1 :]])
        result = attempt(lambda changed=changed: read_active_tees(changed))  # type: ignore[misc]
        assert isinstance(result, Refused) or result != good, place
    for size in range(0, len(VECTOR), 16):
        assert isinstance(attempt(lambda size=size: read_active_tees(VECTOR[:size])), Refused)  # type: ignore[misc]
    assert code_of(lambda: read_active_tees(VECTOR + bytes(32))) == "abi_trailing"


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([0, 1, 32, 0x140, 0x160, 2**255]), max_size=30).map(
        lambda found: b"".join(map(word, found))
    )
)
def test_arbitrary_answers(data: bytes) -> None:
    for read in (read_active_tees, read_tee):
        attempt(lambda read=read: read(data))  # type: ignore[misc]


def test_an_id_is_made_of_the_key() -> None:
    """R-4: there is no field to choose it by."""
    assert record().tee_id.hex() == VECTORS["tee_id"][2:]
    assert registry.tee_id_of_key(SIGNING_KEY) == keccak256(SIGNING_KEY) == record().tee_id
    assert "tee_id" not in attrs.fields_dict(TeeRecord)


def test_pcr_hashes() -> None:
    """R-5."""
    zero = bytes(48)
    assert pcr_hash(zero, zero, zero) == DEBUG_PCR_HASH
    assert pcr_hash(b"\1" * 48, zero, zero) == keccak256(b"\1" * 48 + bytes(96))
    assert code_of(lambda: pcr_hash(bytes(47), bytes(49), zero)) == "wrong_length"


def test_signing_keys() -> None:
    """R-8; every other refusal is in the tests of `load_rsa_key`."""
    assert registry.signing_key_of(record()).der == SIGNING_KEY
    assert code_of(lambda: registry.signing_key_of(record(signing_key=spki(private_key(1024))))) == "rsa_size"
    assert code_of(lambda: registry.signing_key_of(record(signing_key=b"\x30\x03\x02\x01\x05"))) == "rsa_kind"


def test_keys_to_encrypt_to() -> None:
    assert registry.ohttp_key_of(record()) == OhttpKey(key_id=1, public_key=HPKE_KEY)
    assert registry.ohttp_key_of(with_ohttp(public_key=b"", key_config=b"")) is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"key_id": 2}, "ohttp_inconsistent"),
        ({"kem_id": 16}, "ohttp_inconsistent"),
        ({"kdf_id": 2}, "ohttp_inconsistent"),
        ({"aead_id": 1}, "ohttp_inconsistent"),
        ({"public_key": b"\x02" * 32}, "ohttp_inconsistent"),
        ({"public_key": HPKE_KEY[:31]}, "wrong_length"),
        ({"public_key": HPKE_KEY + b"\0"}, "wrong_length"),
        ({"public_key": b""}, "wrong_length"),
        ({"public_key": bytes(32)}, "x25519_low_order"),
        ({"key_config": b""}, "wrong_length"),
        ({"key_config": b"\0\x29" + bytes.fromhex(VECTORS["key_config"])}, "wrong_length"),
        ({"key_config": bytes.fromhex(VECTORS["key_config"])[:-1] + b"\1", "aead_id": 1}, "ohttp_suite"),
    ],
)
def test_keys_that_are_not_to_be_encrypted_to(changed: dict[str, Any], code: str) -> None:
    """R-10."""
    assert code_of(lambda: registry.ohttp_key_of(with_ohttp(**changed))) == code


def test_other_functions() -> None:
    assert registry.GET_ACTIVE_TEES.call(registry.VALIDATOR).hex() == "4b6014da" + "0" * 63 + "1"
    assert registry.IS_TEE_ACTIVE.read(word(1)) is True
    assert registry.IS_PCR_APPROVED.read(word(0)) is False
    assert registry.ENABLED_TEES.read(word(32) + word(1) + b"\xcd" * 32) == (b"\xcd" * 32,)
    assert registry.APPROVED_PCRS.read(word(32) + word(1) + b"\xcd" * 32 + word(1)) == ((b"\xcd" * 32, 1),)
    assert registry.HEARTBEAT_MAX_AGE.read(word(1800)) == 1800
    assert registry.TEE_PUBLIC_KEY.read(encode_values((Text(SIGNING_KEY),))) == SIGNING_KEY
    assert registry.PCR_RECORDS.read(encode_values((1, 0, 5, Text(b"v1")))) == (True, 0, 5, "v1")
    for function in (registry.IS_TEE_ACTIVE, registry.HEARTBEAT_MAX_AGE, registry.APPROVED_PCRS):
        assert code_of(lambda function=function: function.read(b"")) == "abi_truncated"  # type: ignore[misc]


def test_the_root_by_which_registrations_were_judged() -> None:
    """R-12 as far as a client can see it."""
    root = certificates.issue(
        subject=certificates.name(("CN", "root")),
        issuer=None,
        key=KeyRing("opengradient").p384("root"),
        serial=1,
        not_before=certificates.day("2024-01-01"),
        not_after=certificates.day("2034-01-01"),
    )
    pin = hashlib.sha256(root.der).digest()
    assert registry.is_built_in_aws_root(b"", root_sha256=pin)
    assert registry.is_built_in_aws_root(root.pem.encode(), root_sha256=pin)
    assert not registry.is_built_in_aws_root(root.pem.encode(), root_sha256=bytes(32))
    assert not registry.is_built_in_aws_root(root.pem.encode() * 2, root_sha256=pin)
    assert not registry.is_built_in_aws_root(root.der, root_sha256=pin)
    assert not registry.is_built_in_aws_root(b"\0", root_sha256=pin)


def test_tls_certificates() -> None:
    """R9: read whole or refused."""
    assert code_of(lambda: registry.tls_certificate_of(record())) == "certificate_syntax"
    issued = certificates.issue(
        subject=certificates.name(("CN", "enclave")),
        issuer=None,
        key=KeyRing("opengradient").p256("tls"),
        serial=2,
        not_before=certificates.day("2024-01-01"),
        not_after=certificates.day("2034-01-01"),
    )
    assert registry.tls_certificate_of(record(tls_certificate=issued.der)).spki_der == issued.spki
    assert (
        code_of(lambda: registry.tls_certificate_of(record(tls_certificate=issued.der + b"\0"))) == "certificate_syntax"
    )
