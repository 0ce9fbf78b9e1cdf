"""Claims about an enclave's keys, and about what a registry contract says of it."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from .problem import Problem

__all__ = ["EnclaveClaims", "EnclaveOhttpKey", "RegistryClaims"]


@frozen(kw_only=True)
class EnclaveOhttpKey:
    """The key that requests are encrypted to.

    ``key_config`` is the encoded configuration (41 bytes). ``signature_valid`` is the result of verifying the enclave's
    signature over it under the signing key, None where it came without one. ``registered`` is the configuration that
    the registry holds, None where no registry was asked or it holds none.
    """

    key_config: bytes
    signature_valid: bool | None
    registered: bytes | None = None


@frozen(kw_only=True)
class EnclaveClaims:
    """The keys that an enclave shows.

    ``signing_key`` is the DER SubjectPublicKeyInfo of the RSA key that signs answers, and ``tee_id`` (32 bytes) the id
    computed from it. ``stated_ids`` are the ids that others say it has: the enclave, its key configuration. ``ohttp``
    is None where no key to encrypt to is shown.
    """

    signing_key: bytes | Problem = field(repr=False)
    tee_id: bytes | Problem
    stated_ids: tuple[bytes | Problem, ...] = ()
    ohttp: EnclaveOhttpKey | Problem | None = None


@frozen(kw_only=True)
class RegistryClaims:
    """What nodes say that the contract holds about the enclave, all as of one block.

    ``agreeing`` of ``asked`` nodes gave the answers that stand here. ``contract`` is 20 bytes. ``block_time`` and
    ``last_heartbeat`` are aware. ``pcr_hash`` and ``tls_certificate_sha256`` are 32 bytes, ``signing_key`` is DER.
    ``debug_image`` says that the image's registers are zero. ``root_replaced`` is True where the contract judges
    registrations by another root than AWS's, None where the node does not say.
    """

    contract: bytes
    chain_id: int
    asked: int
    agreeing: int
    block_time: datetime
    enabled: bool
    llm_proxy: bool
    last_heartbeat: datetime
    pcr_hash: bytes
    debug_image: bool
    signing_key: bytes = field(repr=False)
    tls_certificate_sha256: bytes | Problem
    root_replaced: bool | None
