"""Which pin accepts what another one accepts, and how a pin is told in words; for comparing policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from .policy_pins import BaseImage

__all__ = ["covers", "may_cover", "named", "same", "show", "single"]


def single(pins: tuple[object, ...]) -> tuple[object, ...]:
    """The same pins, with a base image of several ACPI tables as one base image for each of them."""
    return tuple(_singles(pins))


def _singles(pins: tuple[object, ...]) -> Iterator[object]:
    for pin in pins:
        if isinstance(pin, BaseImage) and pin.acpi is not None:
            yield from (evolve(pin, acpi=(tables,)) for tables in pin.acpi)
        else:
            yield pin


def named(pins: tuple[object, ...]) -> frozenset[object]:
    """The pins as a set in which every label counts, and the order of nothing."""
    return frozenset(
        (pin.label, pin.registers, frozenset(pin.acpi or ())) if isinstance(pin, BaseImage) else _hashable(pin)
        for pin in pins
    )


def _hashable(pin: object) -> object:
    return frozenset(pin.items()) if isinstance(pin, Mapping) else pin


def covers(wide: object, pin: object) -> bool:
    """Does ``wide`` certainly accept everything that ``pin`` accepts?"""
    if isinstance(wide, BaseImage) and isinstance(pin, BaseImage):
        alike = wide.registers[:4] == pin.registers[:4] and wide.rtmr3 in (None, pin.rtmr3)
        return alike and wide.shapes >= pin.shapes
    if isinstance(wide, Mapping) and isinstance(pin, Mapping):
        return all(pin.get(name) == register for name, register in wide.items())
    return wide == pin


def may_cover(wide: object, pin: object) -> bool:
    """Is ``wide`` a base image by ACPI tables with the software of ``pin``, which is one by RTMR0?

    Whether it accepts that RTMR0 depends on the memory size, which no policy says.
    """
    if not isinstance(wide, BaseImage) or not isinstance(pin, BaseImage) or wide.acpi is None or pin.rtmr0 is None:
        return False
    software = (wide.mrtd, wide.rtmr1, wide.rtmr2) == (pin.mrtd, pin.rtmr1, pin.rtmr2)
    return software and wide.rtmr3 in (None, pin.rtmr3)


def same(one: object, other: object) -> bool:
    """Do both accept exactly the same?"""
    return covers(one, other) and covers(other, one)


def show(pin: object) -> str:
    """A pin in words, long values shortened where the first bytes tell them apart."""
    if isinstance(pin, BaseImage):
        parts = (
            f"mrtd {_short(pin.mrtd)}",
            _rtmr0(pin),
            "any rtmr3" if pin.rtmr3 is None else f"rtmr3 {_short(pin.rtmr3)}",
        )
        return f"{pin.label!r} ({', '.join(parts)})"
    if isinstance(pin, Mapping):
        return ", ".join(f"{name} {_short(register)}" for name, register in sorted(pin.items()))
    return pin.hex() if isinstance(pin, bytes) else str(pin)


def _rtmr0(image: BaseImage) -> str:
    if image.rtmr0 is not None:
        return f"rtmr0 {_short(image.rtmr0)}"
    tables = " or ".join(f"{tables.label!r} {_short(tables.tables)}" for tables in image.acpi or ())
    return f"rtmr0 of any memory size with ACPI tables {tables}"


def _short(value: bytes) -> str:
    return f"{value[:8].hex()}..."
