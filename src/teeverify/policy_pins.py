"""The pins of a policy: which registers, documents and keys are accepted for each role."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from . import policy_fields as rules

__all__ = ["BaseImage", "ReferenceValues"]

_REGISTERS = ("mrtd", "rtmr0", "rtmr1", "rtmr2")


@frozen(kw_only=True)
class BaseImage:
    """One accepted base image: the TD's registers as a whole tuple, 48 bytes each.

    A quote matches only when all registers of one tuple match; mixing the registers of two images matches nothing.
    ``rtmr3`` is pinned where the provider shows no event log, and None where the event log explains it.
    """

    label: str
    mrtd: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes | None = None

    def __attrs_post_init__(self) -> None:
        rules.text("label", self.label)
        for name in _REGISTERS:
            rules.octets(name, getattr(self, name), 48)
        if self.rtmr3 is not None:
            rules.octets("rtmr3", self.rtmr3, 48)

    @property
    def registers(self) -> tuple[bytes, bytes, bytes, bytes, bytes | None]:
        """MRTD and RTMR0 to RTMR3; the last is None where it is not pinned."""
        return (self.mrtd, self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3)


@frozen(kw_only=True)
class ReferenceValues:
    """The pins of one role; None means that the policy pins nothing of that kind, a tuple is enforced.

    - ``mr_seam``: TDX module, 48 bytes.
    - ``app_ids``: dstack app id, 20 bytes.
    - ``compose``: SHA-256 of the app-compose document, 32 bytes.
    - ``kms_roots``: root key of the dstack KMS as DER SubjectPublicKeyInfo, 50 to 600 bytes.
    - ``os_images``: dstack OS image hash, 32 bytes.
    - ``signing_keys``: response-signing key: address of an ecdsa key (20 bytes), ed25519 public key (32 bytes) or
      secp256k1 public key as X then Y (64 bytes).
    - ``tls_spki``: SHA-256 of the connection key's SubjectPublicKeyInfo, 32 bytes.
    - ``pcrs``: one table per Nitro image, ``pcr0`` to ``pcr31`` -> 48 bytes; all PCRs of one table must match.
    """

    base_images: tuple[BaseImage, ...] | None = None
    mr_seam: tuple[bytes, ...] | None = None
    app_ids: tuple[bytes, ...] | None = None
    compose: tuple[bytes, ...] | None = None
    kms_roots: tuple[bytes, ...] | None = None
    os_images: tuple[bytes, ...] | None = None
    signing_keys: tuple[bytes, ...] | None = None
    tls_spki: tuple[bytes, ...] | None = None
    pcrs: tuple[Mapping[str, bytes], ...] | None = None

    def __attrs_post_init__(self) -> None:
        for name, rule in _PIN_RULES.items():
            values = getattr(self, name)
            if values is not None:
                rules.entries(name, values, rule, identity=_identity)
        if self.pcrs is not None:
            object.__setattr__(self, "pcrs", tuple(rules.FrozenTable(table) for table in self.pcrs))

    @property
    def is_empty(self) -> bool:
        """True when nothing at all is pinned."""
        return all(getattr(self, name) is None for name in _PIN_RULES)

    @property
    def is_pinned(self) -> bool:
        """True when these pins name both the base image and the workload of a TD.

        The base image is ``base_images``. The workload is ``compose``, or ``rtmr3`` in every base image where the
        provider shows no event log. ``app_ids`` do not count, even beside ``kms_roots``: they trust whoever may allow
        another compose under that app. ``pcrs`` do not count either: a TD has none (see `is_enclave_pinned`).
        """
        if self.base_images is None:
            return False
        return self.compose is not None or self.pins_rtmr3

    @property
    def pins_rtmr3(self) -> bool:
        """True when every base image pins RTMR3, so that the workload is pinned even without an event log."""
        return self.base_images is not None and all(image.rtmr3 is not None for image in self.base_images)

    @property
    def is_enclave_pinned(self) -> bool:
        """True when these pins name the image of a Nitro enclave: every table of ``pcrs`` holds ``pcr0``."""
        return self.pcrs is not None and all("pcr0" in table for table in self.pcrs)


def _base_image(key: str, value: object) -> None:
    if not isinstance(value, BaseImage):
        rules.refuse(key, f"is {rules.kind(value)}", "a BaseImage was expected", "build one")


def _identity(value: object) -> object:
    """What makes two pins the same: the label does not."""
    if isinstance(value, BaseImage):
        return value.registers
    return rules.FrozenTable(value) if isinstance(value, Mapping) else value


def _sized(*sizes: int) -> rules.Rule:
    return lambda key, value: rules.octets(key, value, *sizes)


_PIN_RULES: dict[str, rules.Rule] = {
    "base_images": _base_image,
    "mr_seam": _sized(48),
    "app_ids": _sized(20),
    "compose": _sized(32),
    "kms_roots": rules.spki,
    "os_images": _sized(32),
    "signing_keys": _sized(20, 32, 64),
    "tls_spki": _sized(32),
    "pcrs": rules.pcr_table,
}
