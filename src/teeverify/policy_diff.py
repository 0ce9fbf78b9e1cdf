"""What changed between two policies, in words, and whether it accepts more or less than before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final, Literal, TypeAlias

from attrs import frozen

from .policy import BaseImage, Policy, ReferenceValues, RegistryPolicy, Waiver
from .policy_compose import flag_changes
from .policy_fields import ASSURANCES, ATTESTED_BESIDE, INSTANCE_MODES, NRAS_MODES, ROLES, SIGNED_BY
from .policy_overlap import covers, may_cover, named, same, show, single

__all__ = ["Direction", "PolicyChange", "diff"]

Direction: TypeAlias = Literal["looser", "stricter", "different"]
"""``looser``: accepts something more; ``stricter``: something less; ``different``: neither, or it depends."""


@frozen
class PolicyChange:
    """One difference; ``key`` is the key path of the TOML form, ``sentence`` says what the second policy does."""

    direction: Direction
    key: str
    sentence: str


def diff(before: Policy, after: Policy) -> tuple[PolicyChange, ...]:
    """Every difference in meaning, in the order of the file; empty exactly when the digests are equal."""
    return tuple(_changes(before, after))


_Changes: TypeAlias = Iterator[PolicyChange]

_PIN_WORDS: Final[Mapping[str, str]] = {
    "base_images": "base image",
    "mr_seam": "TDX module",
    "app_ids": "app id",
    "compose": "compose document",
    "kms_roots": "KMS root key",
    "os_images": "OS image",
    "signing_keys": "signing key",
    "tls_spki": "TLS key",
    "pcrs": "Nitro image",
    "custody_roots": "custody root key",
}


def _changes(before: Policy, after: Policy) -> _Changes:
    for key in ("name", "provider"):
        old, new = getattr(before, key), getattr(after, key)
        if old != new:
            yield PolicyChange("different", key, f"has {key} {new} instead of {old}")
    old_day, new_day = before.valid_until, after.valid_until
    yield from _ordered("valid_until", old_day, new_day, new_day > old_day, "counts its pins as current until")
    yield from _tcb(before, after)
    yield from _gpu(before, after)
    loose = INSTANCE_MODES.index(after.instances) > INSTANCE_MODES.index(before.instances)
    yield from _ordered("instances.mode", before.instances, after.instances, loose, "demands, of all instances,")
    old_signer, new_signer = before.exchange.signed_by, after.exchange.signed_by
    loose = SIGNED_BY.index(new_signer) > SIGNED_BY.index(old_signer)
    yield from _ordered("exchange.signed_by", old_signer, new_signer, loose, "accepts signatures over exchanges of the")
    yield from _registry(before.registry, after.registry)
    for role in ROLES:
        yield from _role(role, before, after)
    yield from _waivers(before.waivers, after.waivers)


def _registry(old: RegistryPolicy, new: RegistryPolicy) -> _Changes:
    loose = ASSURANCES.index(new.assurance) > ASSURANCES.index(old.assurance)
    yield from _ordered("registry.assurance", old.assurance, new.assurance, loose, "demands of an enclave to be")
    for key in ("address", "chain_id"):
        before, after = getattr(old, key), getattr(new, key)
        if before != after:
            yield PolicyChange("different", f"registry.{key}", f"names {after} as the contract's {key}, not {before}")
    yield from _ordered(
        "registry.quorum", old.quorum, new.quorum, new.quorum < old.quorum, "demands equal nodes, at least"
    )
    for key, words in (("max_heartbeat_age", "heartbeats"), ("max_block_age", "blocks")):
        before, after = getattr(old, key), getattr(new, key)
        yield from _ordered(
            f"registry.{key}", before, after, after > before, f"accepts {words} of an age in seconds up to"
        )


def _tcb(before: Policy, after: Policy) -> _Changes:
    old, new = before.tcb, after.tcb
    yield from _sets("tcb.accept", old.accept, new.accept, "TCB status")
    yield from _sets("tcb.allow_advisories", old.allow_advisories, new.allow_advisories, "advisory")
    low, high = old.min_eval_number, new.min_eval_number
    yield from _ordered("tcb.min_eval_number", low, high, high < low, "demands an evaluation number of at least")
    short, long = old.grace_days, new.grace_days
    yield from _ordered("tcb.grace_days", short, long, long > short, "gives an OutOfDate level days of grace:")


def _gpu(before: Policy, after: Policy) -> _Changes:
    old, new = before.gpu, after.gpu
    if old.require != new.require:
        verb = "demands" if new.require else "no longer demands"
        yield PolicyChange("stricter" if new.require else "looser", "gpu.require", f"{verb} GPU evidence")
    few = new.min_count < old.min_count
    yield from _ordered("gpu.min_count", old.min_count, new.min_count, few, "demands a number of GPUs of at least")
    yield from _sets("gpu.arch", old.arch, new.arch, "GPU architecture")
    loose = NRAS_MODES.index(new.nras) > NRAS_MODES.index(old.nras)
    yield from _ordered("gpu.nras", old.nras, new.nras, loose, "treats NVIDIA's answer as")


def _ordered(key: str, old: object, new: object, looser: bool, words: str) -> _Changes:
    if old != new:
        yield PolicyChange("looser" if looser else "stricter", key, f"{words} {new} instead of {old}")


def _sets(key: str, old: tuple[str, ...], new: tuple[str, ...], words: str) -> _Changes:
    for word in new:
        if word not in old:
            yield PolicyChange("looser", key, f"accepts one more {words}: {word}")
    for word in old:
        if word not in new:
            yield PolicyChange("stricter", key, f"no longer accepts the {words} {word}")


def _role(role: str, before: Policy, after: Policy) -> _Changes:
    key, old, new = f"pins.{role}", before.pins_for(role), after.pins_for(role)
    # Without pins policy.pinned refuses a role, so pins open the way to VERIFIED; where it is waived, they narrow it.
    waived = _waives_pinning(before, role) or _waives_pinning(after, role)
    beside = any(role in roles for roles in ATTESTED_BESIDE.values())
    if old is None and new is not None and before.needs_no_pins:
        yield PolicyChange("stricter", key, f"pins role {role}, for which any image was accepted")
    elif old is not None and new is None and after.needs_no_pins:
        yield PolicyChange("looser", key, f"no longer pins anything for role {role}, so any image is accepted")
    elif old is None and new is not None:
        words = f"pins role {role}, for which nothing was pinned"
        if beside:
            words += "; a report without its quote is refused now"
        yield PolicyChange("different" if waived or beside else "looser", key, words)
    elif old is not None and new is None:
        words = f"no longer pins anything for role {role}, which policy.pinned then refuses"
        if beside:
            words += "; a report that leaves its quote out is accepted now"
        yield PolicyChange("different" if waived or beside else "stricter", key, words)
    elif old is not None and new is not None:
        if new.is_pinned != old.is_pinned:
            words = f"pins role {role} whole, which policy.pinned refused before"
            if old.is_pinned:
                words = f"no longer pins role {role} whole, which policy.pinned then refuses"
            direction: Direction = "looser" if new.is_pinned else "stricter"
            yield PolicyChange("different" if waived else direction, key, words)
        for name, words in _PIN_WORDS.items():
            yield from _pins(f"{key}.{name}", getattr(old, name), getattr(new, name), f"{words} for role {role}")
        yield from _facts(key, old, new)


def _facts(key: str, old: ReferenceValues, new: ReferenceValues) -> _Changes:
    if old.images_by_digest != new.images_by_digest:
        words = "demands that every image has a digest" if new.images_by_digest else "accepts images without a digest"
        yield PolicyChange("stricter" if new.images_by_digest else "looser", f"{key}.images_by_digest", words)
    for direction, name, words in flag_changes(old.compose_flags, new.compose_flags):
        yield PolicyChange(direction, f"{key}.compose_flags.{name}", words)


def _waives_pinning(policy: Policy, role: str) -> bool:
    return any(waiver.check == "policy.pinned" and waiver.role in (None, role) for waiver in policy.waivers)


def _pins(key: str, old: tuple[object, ...] | None, new: tuple[object, ...] | None, words: str) -> _Changes:
    if old is None and new is not None:
        yield PolicyChange("stricter", key, f"demands one {words} out of {len(new)} pinned")
    elif old is not None and new is None:
        yield PolicyChange("looser", key, f"no longer demands a pinned {words}")
    elif old is not None and new is not None:
        yield from _entries(key, old, new, words)


def _entries(key: str, old: tuple[object, ...], new: tuple[object, ...], words: str) -> _Changes:
    changes = tuple(_single_entries(key, single(old), single(new), words))
    if not changes and named(old) != named(new):  # the same ACPI tables, written into other entries
        changes = (PolicyChange("different", key, f"lists the same {words} in another grouping"),)
    yield from changes


def _single_entries(key: str, old: tuple[object, ...], new: tuple[object, ...], words: str) -> _Changes:
    for pin, covered in _only_in(new, old):
        if not covered:
            yield PolicyChange("looser", key, f"accepts one more {words}: {show(pin)}")
        else:
            sentence = f"lists one more {words}, which it accepted already through a wider entry: {show(pin)}"
            yield PolicyChange("different", key, sentence)
    for pin, covered in _only_in(old, new):
        if covered:
            sentence = f"no longer lists the {words} {show(pin)}, which a wider entry still accepts"
            yield PolicyChange("different", key, sentence)
        elif any(may_cover(other, pin) for other in new):
            sentence = f"no longer lists the {words} {show(pin)}, which an entry by ACPI tables may accept"
            yield PolicyChange("different", key, sentence)
        else:
            yield PolicyChange("stricter", key, f"no longer accepts the {words} {show(pin)}")
    yield from _labels(key, old, new, words)


def _only_in(these: tuple[object, ...], others: tuple[object, ...]) -> Iterator[tuple[object, bool]]:
    """The entries that only ``these`` hold, each with whether a wider entry of both lists covers it.

    An entry that only a wider entry new to ``others`` covers is left out: the change of that one says it all.
    """
    for pin in these:
        if any(same(other, pin) for other in others):
            continue
        wider = [other for other in others if covers(other, pin)]
        kept = any(same(one, other) for one in these for other in wider)
        if kept or not wider:
            yield pin, kept


def _labels(key: str, old: tuple[object, ...], new: tuple[object, ...], words: str) -> _Changes:
    known = [pin for pin in old if isinstance(pin, BaseImage)]
    for pin in new:
        if isinstance(pin, BaseImage):
            before = [_label(one) for one in known if (one.registers, one.shapes) == (pin.registers, pin.shapes)]
            if before and _label(pin) not in before:
                yield PolicyChange("different", key, f"calls the {words} {before[0]} now {_label(pin)}")


def _label(image: BaseImage) -> str:
    shapes = "".join(f" with ACPI tables {tables.label!r}" for tables in image.acpi or ())
    return f"{image.label!r}{shapes}"


def _waivers(old: tuple[Waiver, ...], new: tuple[Waiver, ...]) -> _Changes:
    before = {(waiver.check, waiver.role): waiver for waiver in old}
    after = {(waiver.check, waiver.role): waiver for waiver in new}
    for place, waiver in after.items():
        if place in before:
            yield from _waiver(before[place], waiver)
        else:
            sentence = f"waives {_target(waiver)}{_until(waiver.expires)}: {waiver.reason}"
            yield PolicyChange("looser", "waive", sentence)
    for place, waiver in before.items():
        if place not in after:
            yield PolicyChange("stricter", "waive", f"no longer waives {_target(waiver)}")


def _waiver(old: Waiver, new: Waiver) -> _Changes:
    if old.expires != new.expires:
        looser = (new.expires or date.max) > (old.expires or date.max)
        sentence = f"waives {_target(new)}{_until(new.expires)} instead of{_until(old.expires)}"
        yield PolicyChange("looser" if looser else "stricter", "waive", sentence)
    if old.reason != new.reason:
        yield PolicyChange("different", "waive", f"gives another reason to waive {_target(new)}: {new.reason}")


def _target(waiver: Waiver) -> str:
    return f"{waiver.check} for {waiver.role or 'every role'}"


def _until(expires: date | None) -> str:
    return " without end" if expires is None else f" until {expires}"
