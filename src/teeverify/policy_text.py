"""Writing a policy as TOML text, with comments that say where its values come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from .policy import BaseImage, ExchangePolicy, GpuPolicy, Policy, ReferenceValues, RegistryPolicy, TcbPolicy, Waiver
from .policy_compose import ComposeFlags
from .policy_pins import AcpiTables

__all__ = ["to_toml"]

_NO_COMMENTS: Final[Mapping[str, str]] = MappingProxyType({})


def to_toml(policy: Policy, *, header: Sequence[str] = (), comments: Mapping[str, str] = _NO_COMMENTS) -> str:
    """Write a policy so that reading the text gives a policy of the same digest.

    Args:
        policy: what to write; values left at their default are written too.
        header: lines of the comment on top.
        comments: key path (``tcb.min_eval_number``, ``pins.model.compose[0]``) to the comment above that value.
    """
    lines = [_comment(line) for line in header]
    for line in _body(policy):
        key, text = line
        if key in comments:
            indent = text[: len(text) - len(text.lstrip())]
            lines.append(indent + _comment(comments[key]))
        lines.append(text)
    return "\n".join(lines) + "\n"


_Line = tuple[str, str]
"""A key path (empty where nothing can be said about the line) and the line."""


def _body(policy: Policy) -> Iterator[_Line]:
    yield "name", f"name = {_value(policy.name)}"
    yield "provider", f"provider = {_value(policy.provider)}"
    yield "valid_until", f"valid_until = {_value(policy.valid_until)}"
    yield from _section("tcb", policy.tcb)
    yield from _section("gpu", policy.gpu)
    yield "", ""
    yield "instances", "[instances]"
    yield "instances.mode", f"mode = {_value(policy.instances)}"
    if policy.exchange != ExchangePolicy():
        yield from _section("exchange", policy.exchange)
    if policy.registry != RegistryPolicy():
        yield from _section("registry", policy.registry)
    for role, values in policy.pins.items():
        yield from _role(f"pins.{role}", values)
    for index, waiver in enumerate(policy.waivers):
        yield from _waiver(f"waive[{index}]", waiver)


def _section(
    key: str, section: TcbPolicy | GpuPolicy | ExchangePolicy | RegistryPolicy | ComposeFlags
) -> Iterator[_Line]:
    yield "", ""
    yield key, f"[{key}]"
    for field in attrs.fields(type(section)):
        value = getattr(section, field.name)
        if value is not None:
            yield f"{key}.{field.name}", f"{field.name} = {_value(value)}"


def _role(key: str, values: ReferenceValues) -> Iterator[_Line]:
    yield "", ""
    yield key, f"[{key}]"
    for field in attrs.fields(ReferenceValues):
        pins = getattr(values, field.name)
        if pins is None or isinstance(pins, ComposeFlags):
            continue
        if isinstance(pins, bool):
            yield f"{key}.{field.name}", f"{field.name} = {_value(pins)}"
            continue
        yield f"{key}.{field.name}", f"{field.name} = ["
        for index, pin in enumerate(pins):
            yield f"{key}.{field.name}[{index}]", f"  {_value(pin)},"
        yield "", "]"
    if values.compose_flags is not None:
        yield from _section(f"{key}.compose_flags", values.compose_flags)


def _waiver(key: str, waiver: Waiver) -> Iterator[_Line]:
    yield "", ""
    yield key, "[[waive]]"
    for field in attrs.fields(Waiver):
        value = getattr(waiver, field.name)
        if value is not None:
            yield f"{key}.{field.name}", f"{field.name} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | str):  # a policy's text is printable, so nothing else needs an escape
        text = value.hex() if isinstance(value, bytes) else value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, BaseImage | AcpiTables):
        return _inline(attrs.asdict(value, recurse=False))
    return _inline(value) if isinstance(value, Mapping) else str(value)


def _inline(table: Mapping[str, object]) -> str:
    members = (f"{name} = {_value(member)}" for name, member in table.items() if member is not None)
    return "{" + ", ".join(members) + "}"


def _comment(text: str) -> str:
    """One comment line: a character that could end the line would turn the rest of the comment into policy."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return f"# {printable}".rstrip()
