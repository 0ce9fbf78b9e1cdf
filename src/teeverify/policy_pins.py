"""The pins of a policy: which registers, documents and keys are accepted for each role."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from . import policy_fields as rules
from .policy_compose import ComposeFlags

__all__ = ["AcpiTables", "BaseImage", "ReferenceValues"]

_REGISTERS = ("mrtd", "rtmr1", "rtmr2")
_ACPI_DIGESTS = ("loader", "rsdp", "tables")


@frozen(kw_only=True)
class AcpiTables:
    """The ACPI tables of one accepted hardware shape of a dstack guest, as the three digests that RTMR0 is made of.

    ``loader``, ``rsdp`` and ``tables`` are 48 bytes each: the rows of type 10 (``ACPI DATA``) of register 0, in the
    order of the event log. The number of processors and GPUs changes them, the memory size did not.
    """

    label: str
    loader: bytes
    rsdp: bytes
    tables: bytes

    def __attrs_post_init__(self) -> None:
        rules.text("label", self.label)
        for name in _ACPI_DIGESTS:
            rules.octets(name, getattr(self, name), 48)

    @property
    def digests(self) -> tuple[bytes, bytes, bytes]:
        """``loader``, ``rsdp`` and ``tables``, without the label."""
        return (self.loader, self.rsdp, self.tables)


@frozen(kw_only=True)
class BaseImage:
    """One accepted base image: the TD's registers as a whole tuple, 48 bytes each.

    A quote matches only when all registers of one tuple match; mixing the registers of two images matches nothing.
    ``rtmr3`` is pinned where the provider shows no event log, and None where the event log explains it.

    RTMR0 is pinned in one of two ways: by ``rtmr0``, which stands for one shape of machine, or (dstack images) by
    ``acpi``, the ACPI tables of the accepted shapes. Then RTMR0 must be what these tables and some memory size lead to.
    """

    label: str
    mrtd: bytes
    rtmr0: bytes | None = None
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes | None = None
    acpi: tuple[AcpiTables, ...] | None = None

    def __attrs_post_init__(self) -> None:
        rules.text("label", self.label)
        for name in _REGISTERS:
            rules.octets(name, getattr(self, name), 48)
        if self.rtmr3 is not None:
            rules.octets("rtmr3", self.rtmr3, 48)
        if self.acpi is None:
            rules.octets("rtmr0", self.rtmr0, 48)
            return
        rules.entries("acpi", self.acpi, _acpi_tables, identity=_identity)
        if self.rtmr0 is not None:
            action = "drop rtmr0 to accept every memory size of these tables, or acpi to accept one machine shape"
            rules.refuse("rtmr0", "stands beside acpi", "one of the two was expected", action)

    @property
    def registers(self) -> tuple[bytes, bytes | None, bytes, bytes, bytes | None]:
        """MRTD and RTMR0 to RTMR3; RTMR0 is None where ``acpi`` is pinned, RTMR3 where it is not pinned."""
        return (self.mrtd, self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3)

    @property
    def shapes(self) -> frozenset[tuple[bytes, bytes, bytes]]:
        """The digests of ``acpi`` without labels; empty where ``rtmr0`` is pinned."""
        return frozenset(tables.digests for tables in self.acpi or ())


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
    - ``custody_roots``: root key of the dstack KMS that vouches for an ACI service's receipt keys: secp256k1,
      compressed, 33 bytes. It is another key than that of ``kms_roots``.
    - ``images_by_digest``: True: every image of the app-compose document is named by its digest.
    - ``compose_flags``: demands on other facts of that document.
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
    custody_roots: tuple[bytes, ...] | None = None
    images_by_digest: bool | None = None
    compose_flags: ComposeFlags | None = None

    def __attrs_post_init__(self) -> None:
        for name, rule in _PIN_RULES.items():
            values = getattr(self, name)
            if values is not None:
                rules.entries(name, values, rule, identity=_identity)
        _check_facts(self.images_by_digest, self.compose_flags)
        if self.pcrs is not None:
            object.__setattr__(self, "pcrs", tuple(rules.FrozenTable(table) for table in self.pcrs))

    @property
    def is_empty(self) -> bool:
        """True when nothing at all is pinned."""
        return all(getattr(self, name) is None for name in (*_PIN_RULES, "images_by_digest", "compose_flags"))

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
        """True when these pins name the image of a Nitro enclave: every table of ``pcrs`` holds PCR0, PCR1 and PCR2."""
        return self.pcrs is not None and all(table.keys() >= {"pcr0", "pcr1", "pcr2"} for table in self.pcrs)


def _check_facts(images_by_digest: object, compose_flags: object) -> None:
    if images_by_digest is not None:
        rules.boolean("images_by_digest", images_by_digest)
    if images_by_digest is False:
        action = "leave the key out to accept images by tag"
        rules.refuse("images_by_digest", "is false", "true was expected", action)
    if compose_flags is not None and not isinstance(compose_flags, ComposeFlags):
        rules.refuse("compose_flags", f"is {rules.kind(compose_flags)}", "a ComposeFlags was expected", "build one")


def _base_image(key: str, value: object) -> None:
    if not isinstance(value, BaseImage):
        rules.refuse(key, f"is {rules.kind(value)}", "a BaseImage was expected", "build one")


def _acpi_tables(key: str, value: object) -> None:
    if not isinstance(value, AcpiTables):
        rules.refuse(key, f"is {rules.kind(value)}", "an AcpiTables was expected", "build one")


def _identity(value: object) -> object:
    """What makes two pins the same: the label does not."""
    if isinstance(value, BaseImage):
        return (value.registers, value.shapes)
    if isinstance(value, AcpiTables):
        return value.digests
    return rules.FrozenTable(value) if isinstance(value, Mapping) else value


def _custody_root(key: str, value: object) -> None:
    rules.octets(key, value, 33)
    if isinstance(value, bytes) and value[0] not in (2, 3):
        action = "copy the whole value (66 hex digits, starting with 02 or 03)"
        rules.refuse(key, f"starts with {value[:1].hex()}", "a compressed secp256k1 key was expected", action)


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
    "custody_roots": _custody_root,
}
