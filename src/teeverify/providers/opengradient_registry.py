"""OpenGradient's registry contract: the calls that it answers, and its records, strictly read.

What a record holds is the word of the node that was asked, about what the contract's administrator let in. Owner,
payment address and endpoint are the operator's own words and attested by nobody.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from ..crypto.certificates import Certificate, load_der, load_pem_chain, sha256_of_certificate
from ..crypto.digests import keccak256
from ..crypto.rsa import RsaKey, load_rsa_key
from ..errors import FormatError
from ..formats.abi import WORD, AbiValue, decode_abi, word_at, write_call
from ..formats.ohttp_config import OhttpKey, parse_key_config, require_x25519_key

__all__ = [
    "APPROVED_PCRS",
    "AWS_ROOT_CERTIFICATE",
    "ENABLED_TEES",
    "GET_ACTIVE_TEES",
    "GET_TEE",
    "HEARTBEAT_MAX_AGE",
    "IS_PCR_APPROVED",
    "IS_TEE_ACTIVE",
    "IS_TEE_ENABLED",
    "LEGACY_REGISTRY",
    "LLM_PROXY",
    "PCR_RECORDS",
    "REGISTRY",
    "TEES_BY_TYPE",
    "TEE_PUBLIC_KEY",
    "VALIDATOR",
    "OhttpRecord",
    "RegistryFunction",
    "TeeRecord",
    "is_built_in_aws_root",
    "ohttp_key_of",
    "read_active_tees",
    "read_tee",
    "signing_key_of",
    "tee_id_of_key",
    "tls_certificate_of",
]

REGISTRY: Final = bytes.fromhex("703cb174aeadb35d611858369b4b1111dc9abda6")
"""Address of the current registry."""
LEGACY_REGISTRY: Final = bytes.fromhex("4e72238852f3c918f4e4e57aec9280ddb0c80248")
"""Address of the registry before OHTTP; its records hold no key to encrypt to."""
LLM_PROXY: Final = 0
VALIDATOR: Final = 1

_OHTTP: Final = "(uint8,uint16,uint16,uint16,bytes,bytes,uint256)"
_LEGACY_TEE: Final = "(address,address,string,bytes,bytes,bytes32,uint8,bool,uint256,uint256)"
_TEE: Final = f"{_LEGACY_TEE[:-1]},{_OHTTP})"
_ENDPOINT_POINTER: Final = 2 * WORD
"""Where in a record the first pointer stands: it is as far as the record's head is long, which tells the layouts
apart."""
_LAYOUTS: Final = {11 * WORD: _TEE, 10 * WORD: _LEGACY_TEE}


@frozen(kw_only=True)
class RegistryFunction:
    """A function of the contract: its Solidity signature, and the types that it returns."""

    signature: str
    returns: str

    def call(self, *arguments: int | bytes) -> bytes:
        """The data of a call.

        Raises:
            FormatError: ``abi_argument``.
        """
        return write_call(self.signature, *arguments)

    def read(self, data: bytes) -> AbiValue:
        """What a call returned: one value, or a tuple where the function returns several.

        Raises:
            FormatError: the codes of `decode_abi`.
        """
        values = decode_abi(self.returns, data, what=f"the answer of {self.signature}")
        return values[0] if len(values) == 1 else values


GET_ACTIVE_TEES: Final = RegistryFunction(signature="getActiveTEEs(uint8)", returns=f"{_TEE}[]")
"""Records of a type (`LLM_PROXY`, `VALIDATOR`). Read it with `read_active_tees`, which knows both layouts."""
GET_TEE: Final = RegistryFunction(signature="getTEE(bytes32)", returns=_TEE)
"""The record of an id; reverts where there is none. Read it with `read_tee`, which knows both layouts."""
ENABLED_TEES: Final = RegistryFunction(signature="getEnabledTEEs(uint8)", returns="bytes32[]")
"""Ids of a type that are enabled."""
TEES_BY_TYPE: Final = RegistryFunction(signature="getTEEsByType(uint8)", returns="bytes32[]")
"""Ids of a type, disabled ones as well."""
IS_TEE_ACTIVE: Final = RegistryFunction(signature="isTEEActive(bytes32)", returns="bool")
IS_TEE_ENABLED: Final = RegistryFunction(signature="isTEEEnabled(bytes32)", returns="bool")
IS_PCR_APPROVED: Final = RegistryFunction(signature="isPCRApproved(uint8,bytes32)", returns="bool")
"""Whether a type may run code of a `pcr_hash`. This function and those below may be missing in a deployment."""
APPROVED_PCRS: Final = RegistryFunction(signature="getApprovedPCRs()", returns="(bytes32,uint8)[]")
"""Pairs of `pcr_hash` and type."""
PCR_RECORDS: Final = RegistryFunction(signature="pcrRecords(uint8,bytes32)", returns="bool,uint8,uint256,string")
"""Approved, type, time of approval in Unix seconds, version."""
HEARTBEAT_MAX_AGE: Final = RegistryFunction(signature="heartbeatMaxAge()", returns="uint256")
"""Seconds without a heartbeat after which the contract takes an enclave for dead."""
AWS_ROOT_CERTIFICATE: Final = RegistryFunction(signature="awsRootCertificate()", returns="bytes")
"""PEM of the root that registrations are judged by, empty for the built-in one; see `is_built_in_aws_root`."""
TEE_PUBLIC_KEY: Final = RegistryFunction(signature="getTEEPublicKey(bytes32)", returns="bytes")


@frozen(kw_only=True)
class OhttpRecord:
    """OhttpConfig as the contract holds it, nothing judged; ``registered_at`` is in Unix seconds."""

    key_id: int
    kem_id: int
    kdf_id: int
    aead_id: int
    public_key: bytes
    key_config: bytes = field(repr=False)
    registered_at: int


@frozen(kw_only=True)
class TeeRecord:
    """TEEInfo as the contract holds it, nothing judged.

    Addresses are 20 bytes, ``signing_key`` is a DER SubjectPublicKeyInfo, ``tls_certificate`` DER, ``pcr_hash`` 32
    bytes; times are in Unix seconds. ``ohttp`` is None in a record of the legacy layout.
    """

    owner: bytes
    payment_address: bytes
    endpoint: str
    signing_key: bytes = field(repr=False)
    tls_certificate: bytes = field(repr=False)
    pcr_hash: bytes
    tee_type: int
    enabled: bool
    registered_at: int
    last_heartbeat_at: int
    ohttp: OhttpRecord | None

    @property
    def tee_id(self) -> bytes:
        """The enclave's id, 32 bytes, made of the key in this record; it is nobody's to choose."""
        return tee_id_of_key(self.signing_key)


def tee_id_of_key(signing_key: bytes) -> bytes:
    """Keccak-256 (32 bytes) of the DER SubjectPublicKeyInfo of a signing key."""
    return keccak256(signing_key)


def read_active_tees(data: bytes) -> tuple[TeeRecord, ...]:
    """The records that `GET_ACTIVE_TEES` returned, all of one layout.

    Raises:
        FormatError: ``registry_layout`` where the first record has neither layout, and the codes of `decode_abi`.
    """
    what = f"the answer of {GET_ACTIVE_TEES.signature}"
    layout = _TEE
    if word_at(data, WORD, what=what):  # offset of the array, its length, and the offset of its first element
        layout = _layout_at(data, 2 * WORD + word_at(data, 2 * WORD, what=what), what)
    (records,) = decode_abi(f"{layout}[]", data, what=what)
    return tuple(map(_record, records))


def read_tee(data: bytes) -> TeeRecord:
    """The record that `GET_TEE` returned.

    Raises:
        FormatError: ``registry_layout`` where it has neither layout, and the codes of `decode_abi`.
    """
    what = f"the answer of {GET_TEE.signature}"
    (record,) = decode_abi(_layout_at(data, WORD, what), data, what=what)
    return _record(record)


def signing_key_of(record: TeeRecord) -> RsaKey:
    """The key that signs the enclave's answers.

    Raises:
        FormatError: the codes of `load_rsa_key`.
    """
    return load_rsa_key(record.signing_key, what="the registry's signing key")


def ohttp_key_of(record: TeeRecord) -> OhttpKey | None:
    """The key to encrypt to; None where the record has none (the legacy layout, or an empty public key).

    Raises:
        FormatError: ``ohttp_inconsistent`` where the fields of the record and its encoded key configuration differ, and
            the codes of `parse_key_config` and `require_x25519_key`.
    """
    ohttp = record.ohttp
    if ohttp is None or not (ohttp.public_key or ohttp.key_config):
        return None
    require_x25519_key(ohttp.public_key, what="the registry's OHTTP key")
    key = parse_key_config(ohttp.key_config, what="the registry's OHTTP key configuration")
    stated = (ohttp.key_id, ohttp.kem_id, ohttp.kdf_id, ohttp.aead_id, ohttp.public_key)
    if stated != (key.key_id, key.suite.kem_id, key.suite.kdf_id, key.suite.aead_id, key.public_key):
        raise FormatError("ohttp_inconsistent", "the registry's OHTTP fields differ from its key configuration")
    return key


def tls_certificate_of(record: TeeRecord) -> Certificate:
    """The certificate that the enclave's own TLS endpoint must show.

    Raises:
        FormatError: the codes of `load_der`.
    """
    return load_der(record.tls_certificate, what="the registry's TLS certificate")


def is_built_in_aws_root(answer: bytes, *, root_sha256: bytes) -> bool:
    """False where the administrator has replaced the root by which the contract judges registrations.

    Args:
        answer: what `AWS_ROOT_CERTIFICATE` returned: PEM, or nothing for the built-in root.
        root_sha256: SHA-256 of the DER of AWS's root.
    """
    if not answer:
        return True
    try:
        chain = load_pem_chain(answer, what="the registry's AWS root")
    except FormatError:
        return False
    return len(chain) == 1 and sha256_of_certificate(chain[0]) == root_sha256


def _layout_at(data: bytes, start: int, what: str) -> str:
    pointer = word_at(data, start + _ENDPOINT_POINTER, what=what)
    layout = _LAYOUTS.get(pointer)
    if layout is None:
        raise FormatError("registry_layout", f"{what} holds records of a layout that is not known")
    return layout


def _record(values: AbiValue) -> TeeRecord:
    """A record from the members of TEEInfo, in the order of the contract."""
    owner, payment_address, endpoint, signing_key, tls_certificate, pcrs, tee_type, enabled, registered, beat, *rest = (
        values
    )
    return TeeRecord(
        owner=owner,
        payment_address=payment_address,
        endpoint=endpoint,
        signing_key=signing_key,
        tls_certificate=tls_certificate,
        pcr_hash=pcrs,
        tee_type=tee_type,
        enabled=enabled,
        registered_at=registered,
        last_heartbeat_at=beat,
        ohttp=_ohttp_record(rest[0]) if rest else None,
    )


def _ohttp_record(values: AbiValue) -> OhttpRecord:
    """A record from the members of OhttpConfig, in the order of the contract."""
    key_id, kem_id, kdf_id, aead_id, public_key, key_config, registered = values
    return OhttpRecord(
        key_id=key_id,
        kem_id=kem_id,
        kdf_id=kdf_id,
        aead_id=aead_id,
        public_key=public_key,
        key_config=key_config,
        registered_at=registered,
    )
