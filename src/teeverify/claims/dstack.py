"""Claims about a dstack guest: what it measured, and what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..formats.app_compose import AppCompose
from ..formats.event_log import EventLog
from ..formats.tdx_quote import TdxQuote
from .problem import Problem

__all__ = ["AppCertificate", "DstackClaims", "KeyProvider", "MeasuredIdentity", "NamedLog"]


@frozen(kw_only=True)
class NamedLog:
    """One copy of the event log and where in the report it stands."""

    where: str
    log: EventLog


@frozen(kw_only=True)
class KeyProvider:
    """Who gives the app its keys: ``name`` such as ``kms``; ``id`` the DER SubjectPublicKeyInfo of the KMS root."""

    name: str
    id: bytes


@frozen(kw_only=True)
class MeasuredIdentity:
    """Identity events of RTMR3, read at the positions that only the guest OS can write.

    app_id and instance_id are 20 bytes (instance_id may be empty), compose_hash and os_image_hash 32 bytes.
    ``os_image_hash`` is None where the OS does not measure one. ``later_names`` are names of identity events that an
    application appended after ``system-ready``, which count for nothing. ``init_script_hashes`` and
    ``gpu_policy_hash`` (32 bytes) are measured by newer guests only.
    """

    app_id: bytes
    compose_hash: bytes
    instance_id: bytes
    os_image_hash: bytes | None
    key_provider: KeyProvider
    key_provider_payload: bytes
    later_names: tuple[str, ...]
    init_script_hashes: tuple[bytes, ...] = ()
    gpu_policy_hash: bytes | None = None


@frozen(kw_only=True)
class AppCertificate:
    """The app certificate chain that the KMS issued, signatures verified.

    ``root_spki`` is the DER SubjectPublicKeyInfo of its root, ``leaf_spki`` that of its leaf; ``app_ids`` are the app
    ids in its certificates, ``usages`` what leaf and CA are for (dstack's words, None where they do not say). ``quote``
    is the one that the leaf carries about its own key, None where it carries none; its signature is not verified.
    """

    root_spki: bytes
    app_ids: tuple[bytes, ...]
    leaf_spki: bytes = b""
    usages: tuple[bytes | None, bytes | None] = (None, None)
    quote: TdxQuote | Problem | None = None


@frozen(kw_only=True)
class DstackClaims:
    """All that a dstack record holds.

    ``logs`` holds every copy of the event log that the record shows, the most complete first. ``stated`` are the
    values that the report states about itself, by name, each as bytes or a Problem; nothing is believed because it
    stands there. ``memory_size`` is the guest's memory in bytes as ``vm_config`` states it, unmeasured: it may only
    choose which value of RTMR0 the quote is held against. None where the record does not state one. ``mr_config`` is
    the mr_config document (UTF-8) as it was served, None where the record holds none.
    """

    logs: tuple[NamedLog | Problem, ...]
    identity: MeasuredIdentity | Problem
    app_compose: AppCompose | Problem
    app_certificate: AppCertificate | Problem | None
    stated: Mapping[str, bytes | Problem]
    memory_size: int | Problem | None = None
    mr_config: bytes | Problem | None = None
