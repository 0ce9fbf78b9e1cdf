"""The simulated Chutes deployment: its machines, sek8s boots, ML-KEM keys and attestation certificates."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any, Final

from attrs import define, evolve, field, frozen
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from .certificates import Issued, day, issue, key_usage, name, subject_key
from .intel import IntelPki, Platform
from .keys import KeyRing
from .nvidia import NvidiaPki
from .tdx import QeFields, QuoteFormat, TdFields, build_quote

__all__ = [
    "API_HOST",
    "GATEWAY_HOST",
    "LLM_HOST",
    "MODEL",
    "RECORDED_AT",
    "Sek8sBoot",
    "Sek8sGuest",
    "World",
    "attestation_certificate",
    "invocation_nonces",
    "ml_kem_key_text",
    "sek8s_guest",
]

RECORDED_AT: Final = datetime(2026, 6, 15, 12, tzinfo=timezone.utc)
"""When the shipped sessions took place."""
MODEL: Final = "test-org/model-1b-TEE"
"""A model that no provider serves."""
API_HOST: Final = "api.chutes.ai"
LLM_HOST: Final = "llm.chutes.ai"
GATEWAY_HOST: Final = "api.redpill.ai"

_MODULUS: Final = 3329
_COEFFICIENTS: Final = 768
_PADDING: Final = bytes(307)
"""Quotes from the real service end in this many zero bytes."""
_FAMILIES: Final = (
    ("90c06f000000", "sek8s-test-1", "tdx-module-test-1", bytes([11, 1, 4])),
    ("b0c06f000000", "sek8s-test-2", "tdx-module-test-2", bytes([13, 1, 4])),
)
"""Platform family, release, TDX module and TEE_TCB_SVN; the instances take them in turn."""


@frozen
class World:
    """What sessions of one seed have in common: keys, Intel and NVIDIA. To share it makes later sessions quicker."""

    keys: KeyRing
    intel: IntelPki
    nvidia: NvidiaPki

    @classmethod
    def of(cls, seed: str) -> World:
        """A new one."""
        keys = KeyRing(seed)
        return cls(keys, IntelPki(keys), NvidiaPki(keys))


@frozen(kw_only=True)
class Sek8sBoot:
    """A boot of a sek8s guest: registers without an event log. MRCONFIGID and MROWNER are zero.

    ``rtmr3`` is 48 bytes that are not zero; releases before measured runtimes leave it zero.
    """

    release: str
    mr_td: bytes
    mr_seam: bytes
    tee_tcb_svn: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes

    @classmethod
    def derive(cls, keys: KeyRing, release: str, *, module: str, tee_tcb_svn: bytes, gpus: int) -> Sek8sBoot:
        """A release on a machine with some GPUs; register 0 depends on both, the others on the release."""
        return cls(
            release=release,
            mr_td=keys.material(f"mrtd/{release}", 48),
            mr_seam=keys.material(f"mrseam/{module}", 48),
            tee_tcb_svn=tee_tcb_svn.ljust(16, b"\0"),
            rtmr0=keys.material(f"rtmr0/{release}/{gpus}", 48),
            rtmr1=keys.material(f"rtmr1/{release}", 48),
            rtmr2=keys.material(f"rtmr2/{release}", 48),
            rtmr3=keys.material(f"rtmr3/{release}", 48),
        )

    def registers(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four measurement registers."""
        return self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3

    def td_fields(self) -> dict[str, bytes]:
        """The quote fields that this boot decides, as arguments of `TdFields`."""
        rtmr0, rtmr1, rtmr2, rtmr3 = self.registers()
        return {
            "mr_td": self.mr_td,
            "mr_seam": self.mr_seam,
            "tee_tcb_svn": self.tee_tcb_svn,
            "rtmr0": rtmr0,
            "rtmr1": rtmr1,
            "rtmr2": rtmr2,
            "rtmr3": rtmr3,
        }


@define(kw_only=True)
class Sek8sGuest:
    """A TD on a platform; attributes are knobs that tests turn before they ask for a quote.

    ``td_changes`` replaces fields of the TD report, ``quote_changes`` passes further arguments to `build_quote`.
    """

    pki: IntelPki
    platform: Platform
    boot: Sek8sBoot
    layout: QuoteFormat
    qe: QeFields = field(factory=QeFields)
    pck: Issued | None = None
    td_changes: dict[str, Any] = field(factory=dict)
    quote_changes: dict[str, Any] = field(factory=dict)

    def reboot(self, **changes: Any) -> None:
        """Boot again with some attributes of the boot changed, such as ``rtmr3=bytes(48)``."""
        self.boot = evolve(self.boot, **changes)

    def quote(self, data: bytes) -> bytes:
        """A quote over 64 bytes of REPORTDATA."""
        arguments: dict[str, Any] = {
            "pck": self.pck or self.pki.pck(self.platform),
            "attestation_key": self.pki.attestation_key(self.platform),
            "chain": (self.pki.pck_ca, self.pki.root),
            "qe": self.qe,
            "layout": self.layout,
            **self.quote_changes,
        }
        td = TdFields(**{**self.boot.td_fields(), "report_data": data, **self.td_changes})
        return build_quote(td, **arguments)


def sek8s_guest(keys: KeyRing, pki: IntelPki, index: int, gpus: int) -> Sek8sGuest:
    """The TD of one instance; neighbours differ in platform family, release and TDX module."""
    fmspc, release, module, svn = _FAMILIES[index % len(_FAMILIES)]
    label = f"chutes-{index}"
    platform = Platform(
        label=label,
        ppid=keys.material(f"ppid/{label}", 16),
        platform_instance_id=keys.material(f"platform-instance/{label}", 16),
        fmspc=bytes.fromhex(fmspc),
    )
    return Sek8sGuest(
        pki=pki,
        platform=platform,
        boot=Sek8sBoot.derive(keys, release, module=module, tee_tcb_svn=svn, gpus=gpus),
        layout=QuoteFormat(qe_id=keys.material(f"qe-id/{label}", 16), padding=_PADDING),
    )


def ml_kem_key_text(keys: KeyRing, label: str) -> str:
    """Base64 of an ML-KEM-768 encapsulation key of 1184 bytes that passes the modulus check (FIPS 203, section 7.2).

    Coefficients and seed are pseudo-random, so nobody, tests included, can decapsulate what is encapsulated to it.
    """
    stream = keys.material(f"ml-kem/{label}", 3 * _COEFFICIENTS)
    pairs = (int.from_bytes(stream[start : start + 3], "little") for start in range(0, len(stream), 3))
    fitting = [value for pair in pairs for value in (pair & 0xFFF, pair >> 12) if value < _MODULUS][:_COEFFICIENTS]
    packed = b"".join(
        (low | high << 12).to_bytes(3, "little") for low, high in zip(fitting[::2], fitting[1::2], strict=True)
    )
    return base64.b64encode(packed + keys.material(f"ml-kem-rho/{label}", 32)).decode()


def invocation_nonces(keys: KeyRing, label: str, count: int = 10) -> list[str]:
    """Single-use tokens of 32 URL-safe characters, which the service hands out beside each key."""
    return [
        base64.urlsafe_b64encode(keys.material(f"invocation/{label}/{number}", 24)).decode() for number in range(count)
    ]


def attestation_certificate(keys: KeyRing, label: str) -> Issued:
    """The self-signed certificate of a guest's attestation service: P-256 here, RSA-4096 on the real machines."""
    key = keys.p256(f"attestation-service/{label}")
    names = [x509.DNSName(text) for text in ("attestation-service", "localhost", f"{label}.test.invalid")]
    return issue(
        subject=name(("CN", "attestation-service")),
        issuer=None,
        key=key,
        serial=keys.serial(f"attestation-service/{label}", 20),
        not_before=day("2026-05-01"),
        not_after=day("2126-04-07"),
        extensions=[
            key_usage(sign=True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(names), False),
            subject_key(key),
        ],
    )
