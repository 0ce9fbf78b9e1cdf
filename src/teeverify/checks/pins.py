"""Is it the software that the caller pinned?"""

from __future__ import annotations

from collections.abc import Iterable

from ..claims.problem import need
from ..claims.subject import Subject
from ..errors import FormatError
from ..formats.dstack_measurement import rtmr0 as expected_rtmr0
from ..policy import BaseImage, Policy, ReferenceValues
from ..policy_pins import AcpiTables
from .catalogue import Finding, check, failed, not_applicable, passed
from .dstack import dstack_claims
from .tdx import tdx_claims

__all__: list[str] = []

_RFC9334 = "RFC 9334 (reference values); the caller's policy"


def _pins(subject: Subject, policy: Policy) -> ReferenceValues:
    return policy.pins.get(subject.role) or ReferenceValues()


def _unpinned(what: str, subject: Subject) -> Finding:
    return not_applicable("not_pinned", f"the policy pins no {what} for role {subject.role}")


def _judge(what: str, observed: bytes, pins: Iterable[bytes], subject: Subject) -> Finding:
    accepted = tuple(pins)
    if observed in accepted:
        return passed(f"the {what} is pinned for role {subject.role}", observed=observed.hex())
    return failed(
        "not_pinned",
        f"the {what} is none of the {len(accepted)} that the policy pins for role {subject.role}",
        expected=" or ".join(pin.hex() for pin in accepted),
        observed=observed.hex(),
    )


@check(
    "pin.base_image",
    title="Firmware, kernel and guest image are a pinned combination",
    explanation=(
        "MRTD and RTMR0 to RTMR2 measure the virtual firmware, its configuration, the kernel and the guest image. They "
        "are compared as one tuple, since a mix of two good images is no good image. Everything that the guest says "
        "about the application rests on this pin: a self-made guest could forge it all. A dstack image may be pinned "
        "by its ACPI tables in place of RTMR0; then RTMR0 must be what these tables and the memory size of the report "
        "lead to. The memory size only says which value to try, and a wrong one fits no quote."
    ),
    requires=("tdx.quote_signature",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={
        "not_pinned": "The registers are no combination that the policy pins for this role.",
        "memory_size_missing": "RTMR0 is pinned by ACPI tables, and the report states no memory size.",
        "other_rtmr0": "RTMR0 is not what the pinned ACPI tables and the stated memory size lead to.",
    },
)
def base_image(subject: Subject, policy: Policy) -> Finding:
    images = _pins(subject, policy).base_images
    if images is None:
        return _unpinned("base image", subject)
    report = need(tdx_claims(subject).quote).report
    observed = (report.mr_td, *report.rtmrs)
    matching = [image for image in images if _differences(image, observed) == []]
    for image in matching:
        if image.acpi is None:
            return passed(f"base image {image.label!r}", observed=report.mr_td.hex())
    if matching:
        return _any_shape(matching, subject, report.rtmr0)
    nearest = min(images, key=lambda image: len(_differences(image, observed)))
    names = ", ".join(_differences(nearest, observed))
    return failed(
        "not_pinned",
        f"the registers match no pinned base image of role {subject.role}; {names} differ from {nearest.label!r}",
        expected=nearest.label,
        observed=" ".join(value.hex() for value in observed[:4]),
    )


def _any_shape(images: list[BaseImage], subject: Subject, rtmr0: bytes) -> Finding:
    """Judge RTMR0 for images whose other registers match and that are pinned by ACPI tables.

    The event log is not looked at: its rows are the report's word, the ACPI digests are the policy's.
    """
    stated = None if subject.dstack is None else subject.dstack.memory_size
    if stated is None:
        return failed(
            "memory_size_missing",
            f"RTMR0 of {images[0].label!r} is pinned by ACPI tables, and the report states no memory size",
            observed=rtmr0.hex(),
        )
    memory_size = need(stated)
    for image in images:
        for acpi in image.acpi or ():
            if _rtmr0(memory_size, acpi) == rtmr0:
                shape = f"{memory_size} bytes of memory and ACPI tables {acpi.label!r}"
                return passed(f"base image {image.label!r} on a machine with {shape}", observed=rtmr0.hex())
    count = sum(len(image.shapes) for image in images)
    return failed(
        "other_rtmr0",
        f"all but RTMR0 is base image {images[0].label!r}; none of the {count} pinned ACPI tables leads to this RTMR0 "
        f"with {memory_size} bytes of memory",
        observed=rtmr0.hex(),
    )


def _rtmr0(memory_size: int, acpi: AcpiTables) -> bytes | None:
    """RTMR0 of that shape; None for a memory size that no machine can have."""
    try:
        return expected_rtmr0(memory_size, *acpi.digests)
    except FormatError:
        return None


def _differences(image: BaseImage, observed: tuple[bytes, ...]) -> list[str]:
    """Names of the registers that differ from what is pinned; RTMR0 is left open where ACPI tables are pinned."""
    pinned = (image.mrtd, image.rtmr0, image.rtmr1, image.rtmr2, image.rtmr3)
    names = ("MRTD", "RTMR0", "RTMR1", "RTMR2", "RTMR3")
    return [name for name, pin, value in zip(names, pinned, observed, strict=True) if pin is not None and pin != value]


@check(
    "pin.app_id",
    title="It is the pinned application",
    explanation=(
        "The app id names the application towards its key management service, and stays the same over upgrades. "
        "Another id means another owner, who gets other keys."
    ),
    requires=("dstack.event_order",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={"not_pinned": "The measured app id is not pinned for this role."},
)
def app_id(subject: Subject, policy: Policy) -> Finding:
    pins = _pins(subject, policy).app_ids
    if pins is None:
        return _unpinned("app id", subject)
    return _judge("app id", need(dstack_claims(subject).identity).app_id, pins, subject)


@check(
    "pin.compose",
    title="It runs a pinned compose document",
    explanation=(
        "The compose hash stands for the exact list of containers. An upgrade by the provider changes it, and then "
        "somebody has to look at the new document before it is pinned."
    ),
    requires=("dstack.compose_event",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={"not_pinned": "The measured compose hash is not pinned for this role."},
)
def compose(subject: Subject, policy: Policy) -> Finding:
    pins = _pins(subject, policy).compose
    if pins is None:
        return _unpinned("compose hash", subject)
    return _judge("compose hash", need(dstack_claims(subject).identity).compose_hash, pins, subject)


@check(
    "pin.kms_root",
    title="Its keys come from a pinned key management service",
    explanation=(
        "Whoever runs the KMS can derive the application's keys. The same compose document under an attacker's own KMS "
        "would measure alike and sign with keys that the attacker knows, so the root key of the KMS is pinned."
    ),
    requires=("dstack.event_order",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={"not_pinned": "The measured KMS root key is not pinned for this role."},
)
def kms_root(subject: Subject, policy: Policy) -> Finding:
    pins = _pins(subject, policy).kms_roots
    if pins is None:
        return _unpinned("KMS root", subject)
    return _judge("KMS root", need(dstack_claims(subject).identity).key_provider.id, pins, subject)


@check(
    "pin.os_image",
    title="The guest names a pinned OS image",
    explanation=(
        "The os-image-hash is the guest's own word for its release. It is worth something only together with the "
        "pinned base image, which measures the guest."
    ),
    requires=("dstack.event_order",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={"not_pinned": "The measured OS image hash is not pinned for this role."},
)
def os_image(subject: Subject, policy: Policy) -> Finding:
    pins = _pins(subject, policy).os_images
    if pins is None:
        return _unpinned("OS image", subject)
    return _judge("OS image", need(dstack_claims(subject).identity).os_image_hash or b"", pins, subject)


@check(
    "pin.signing_key",
    title="The signing key is a pinned one",
    explanation=(
        "Nothing in a quote names the model. Where the policy lists signing keys, a machine of the same provider that "
        "serves another model, and so signs with another key, is refused."
    ),
    requires=("binding.signing_key",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={"not_pinned": "The signing key is not pinned for this role."},
)
def signing_key(subject: Subject, policy: Policy) -> Finding:
    pins = _pins(subject, policy).signing_keys
    if pins is None:
        return _unpinned("signing key", subject)
    if subject.binding.signing_key is None:
        return failed("not_pinned", f"the policy pins signing keys for role {subject.role}, and this record shows none")
    key = need(subject.binding.signing_key)
    if key.public_key is not None and key.public_key in pins:
        return passed(f"the signing key is pinned for role {subject.role}", observed=key.address.hex())
    return _judge("signing key", key.address, pins, subject)


@check(
    "pin.tls_spki",
    title="The TLS key is a pinned one",
    explanation="Where the policy lists TLS keys, the one that the quote names must be among them.",
    requires=("binding.tls_spki",),
    source=_RFC9334,
    anchor="Intel root, policy pin",
    reasons={"not_pinned": "The TLS key is not pinned for this role."},
)
def tls_spki(subject: Subject, policy: Policy) -> Finding:
    pins = _pins(subject, policy).tls_spki
    if pins is None:
        return _unpinned("TLS key", subject)
    if subject.binding.tls_fingerprint is None:
        return failed("not_pinned", f"the policy pins TLS keys for role {subject.role}, and the quote names none")
    return _judge("TLS key", need(subject.binding.tls_fingerprint), pins, subject)
