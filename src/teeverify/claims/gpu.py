"""What was derived about the GPUs of one environment."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import field, frozen

from ..formats.gpu_payload import GpuPayload
from ..formats.nras import NrasAnswer
from ..formats.spdm import SpdmEvidence
from .problem import Problem

__all__ = ["GPU_EVIDENCE_ABSENT", "DeviceCertificate", "GpuClaims", "GpuDevice", "NrasClaims"]

GPU_EVIDENCE_ABSENT: Final = "gpu_evidence_absent"
"""Code of the payload's `Problem` where the record has no GPU evidence; only the policy knows whether it should."""


@frozen(kw_only=True)
class DeviceCertificate:
    """What the certificates of one device say about it; worth nothing unless ``GpuDevice.chain`` is None.

    ``architecture`` is ``HOPPER``, ``BLACKWELL``, ``LS10`` (an NVSwitch) or None, by the names of both certificates
    that the device itself holds; ``chip`` is the word they begin with (``GH100``). ``identity`` is the SHA-256 (32
    bytes) of the device identity key, ``ueid`` the decimal serial number of the attestation key's certificate: both
    follow a device for life, so they stay out of messages. ``not_after`` is the earliest end of the chain.
    """

    architecture: str | None
    chip: str
    identity: bytes = field(repr=False)
    ueid: str = field(repr=False)
    not_after: datetime


@frozen(kw_only=True)
class GpuDevice:
    """One entry of the payload.

    ``label`` is the architecture that the sender wrote beside the entry, ``label_nonce`` the nonce (32 bytes).
    ``chain``, ``signature`` and ``firmware_id`` are None where they hold, and an INVALID `Problem` where they do not;
    where the bytes they need are malformed they are that `Problem`.
    """

    index: int
    label: str | None
    label_nonce: bytes | None
    certificate: DeviceCertificate | Problem
    evidence: SpdmEvidence | Problem
    chain: Problem | None
    signature: Problem | None
    firmware_id: Problem | None

    @property
    def name(self) -> str:
        """The device's name in messages and in NVIDIA's tokens: ``GPU-3``."""
        return f"GPU-{self.index}"


@frozen(kw_only=True)
class NrasClaims:
    """A well-formed answer of NVIDIA's attestation service.

    ``signing_key`` is None where the key of the overall token is NVIDIA's; ``signature`` is None where that key made
    the token. Otherwise each is a `Problem`: INVALID, or UNAVAILABLE where there is no key set to look in.
    """

    answer: NrasAnswer
    signing_key: Problem | None
    signature: Problem | None


@frozen(kw_only=True)
class GpuClaims:
    """All GPUs of one environment.

    ``expected_nonce`` (32 bytes) is what the devices must have signed: the client's own nonce where ``nonce_binding``
    is ``nonce-shared``, a value derived from it that the CPU's quote holds where it is ``nonce-derived``. ``devices``
    has one entry per entry of ``payload``. ``nras`` is None when nobody asked the service.
    """

    expected_nonce: bytes
    nonce_binding: str
    payload: GpuPayload | Problem
    devices: tuple[GpuDevice, ...]
    nras: NrasClaims | Problem | None

    @property
    def has_evidence(self) -> bool:
        """False where the record holds no GPU evidence at all; malformed evidence is evidence."""
        return not (isinstance(self.payload, Problem) and self.payload.code == GPU_EVIDENCE_ABSENT)
