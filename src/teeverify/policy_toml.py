"""The TOML form of a policy: text to values, and values back to text.

Reading turns hex into bytes and refuses what TOML alone can hold (unknown keys, tables in the place of lists); every
other rule is in the constructors of the values, and its error gets the key path of the file in front.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import resources
from typing import Any, Final, TypeVar

import attrs

from . import policy_fields as rules
from .errors import FormatError, PolicyError
from .formats.encodings import decode_hex
from .limits import MAX_POLICY
from .policy import BaseImage, ExchangePolicy, GpuPolicy, Policy, ReferenceValues, RegistryPolicy, TcbPolicy, Waiver
from .policy_compose import ComposeFlags
from .policy_fields import PolicyFieldError, kind, refuse, spell
from .policy_pins import AcpiTables
from .policy_text import to_toml

__all__ = ["builtin_names", "load_builtin", "load_policy", "read_policy", "to_toml"]

T = TypeVar("T")

_REQUIRED: Final = ("name", "provider", "valid_until")
_OPTIONAL: Final = ("tcb", "gpu", "instances", "exchange", "registry", "waive")
_MAX_DOTS: Final = 64
"""Dots on one line. TOML readers need cubic time for a dotted key; a policy's keys have three parts."""
_MAX_HEX: Final = rules.SPKI_SIZES[1]


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy file; see `Policy.load`."""
    place = rules.describe(os.fspath(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_POLICY + 1)
    except FileNotFoundError:
        raise PolicyError(f"{place} does not exist, a policy file was expected: check the path") from None
    except IsADirectoryError:
        raise PolicyError(f"{place} is a directory, a policy file was expected: name the file in it") from None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise PolicyError(f"{place} cannot be read ({words}), a policy file was expected: check the path") from None
    try:
        return read_policy(data)
    except PolicyError as error:
        raise PolicyError(f"{place}: {error}") from None


def builtin_names() -> tuple[str, ...]:
    """Names of the policies that teeverify ships, sorted."""
    files = resources.files(__package__).joinpath("reference_values").iterdir()
    return tuple(sorted(file.name[: -len(".toml")] for file in files if file.name.endswith(".toml")))


def load_builtin(name: str) -> Policy:
    """Read a shipped policy; see `Policy.builtin`."""
    names = builtin_names()
    if name not in names:
        observed = f"the shipped policy {rules.describe(str(name))} does not exist"
        raise PolicyError(f"{observed}, one of {', '.join(names)} was expected: use one of these names")
    return read_policy(resources.files(__package__).joinpath("reference_values").joinpath(f"{name}.toml").read_bytes())


def read_policy(source: str | bytes) -> Policy:
    """Read a policy from TOML; see `Policy.from_toml`."""
    table = _members(_parse(source), "", required=_REQUIRED, optional=(*_OPTIONAL, "pins"))
    registry = _section(table, "registry", RegistryPolicy)
    if "pins" not in table and (table["provider"], registry.assurance) != ("opengradient", "registry"):
        refuse("pins", "is missing", "a value was expected", _HOW_TO_GET["pins"])
    return Policy(
        name=table["name"],
        provider=table["provider"],
        valid_until=table["valid_until"],
        tcb=_section(table, "tcb", TcbPolicy),
        gpu=_section(table, "gpu", GpuPolicy),
        instances=_members(table.get("instances", {}), "instances", optional=("mode",)).get("mode", "all"),
        exchange=_section(table, "exchange", ExchangePolicy),
        registry=registry,
        pins=_pins(table.get("pins", {})),
        waivers=_listed(table.get("waive", []), "waive", _waiver),
    )


def _parse(source: str | bytes) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if not isinstance(source, str | bytes):
        raise PolicyError(f"the policy is {kind(source)}, TOML text or bytes were expected: pass the file's content")
    if len(source) > MAX_POLICY:
        raise PolicyError(f"the policy has more than {MAX_POLICY} bytes, at most that many are accepted: shorten it")
    try:
        text = source.decode("utf-8") if isinstance(source, bytes) else source
    except UnicodeDecodeError as error:
        raise PolicyError(
            f"the policy is not UTF-8 at byte {error.start}, TOML was expected: save it as UTF-8"
        ) from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MAX_DOTS:
            raise PolicyError(f"line {number} of the policy has more than {_MAX_DOTS} dots, no key has: split the line")
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise PolicyError("the policy is nested too deeply, three levels were expected: flatten it") from None
    except ValueError as error:  # TOMLDecodeError is one, and so is an integer of thousands of digits
        raise PolicyError(f"the policy is not TOML ({error}), a policy file was expected: correct the syntax") from None
    return document


def _members(
    value: object, key: str, *, required: Collection[str] = (), optional: Collection[str] = ()
) -> dict[str, Any]:
    """A table with all of the required keys and none that is unknown."""
    prefix = f"{key}." if key else ""
    if not isinstance(value, dict):
        refuse(key, f"is {kind(value)}", "a table was expected", f"write it as [{key}]")
    known = (*required, *optional)
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name[:60], known, n=1)
            action = f"did you mean {near[0]}?" if near else "remove it"
            refuse(f"{prefix}{spell(name)}", "is an unknown key", f"one of {', '.join(known)} was expected", action)
    for name in required:
        if name not in value:
            refuse(f"{prefix}{name}", "is missing", "a value was expected", _HOW_TO_GET.get(name, "add it"))
    return value


_HOW_TO_GET: Final = {
    "pins": "`teeverify policy pin` writes the pins of a report that you verified",
    "valid_until": "add the last day on which you trust these pins, like 2026-12-31",
    "reason": "say why the check may be left out",
}


@contextlib.contextmanager
def _under(key: str) -> Iterator[None]:
    """Put the key path of this file in front of an error that a value's constructor raises."""
    try:
        yield
    except PolicyFieldError as error:
        raise error.under(key) from None


def _list(value: object, key: str) -> list[Any]:
    if not isinstance(value, list):
        refuse(key, f"is {kind(value)}", "a list was expected", "write it in brackets")
    return value


def _listed(value: object, key: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    return tuple(read(item, f"{key}[{index}]") for index, item in enumerate(_list(value, key)))


def _section(table: Mapping[str, Any], key: str, wanted: type[T]) -> T:
    """[tcb] or [gpu]: the keys are the fields of the value, and every list holds plain values."""
    names = _names(wanted)
    members = dict(_members(table.get(key, {}), key, optional=names))
    for name in ("accept", "allow_advisories", "arch"):
        if name in members:
            members[name] = tuple(_list(members[name], f"{key}.{name}"))
    with _under(key):
        return wanted(**members)


def _names(wanted: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(wanted))


def _pins(value: object) -> dict[str, ReferenceValues]:
    if not isinstance(value, dict):
        refuse("pins", f"is {kind(value)}", "a table per role was expected", "write [pins.model]")
    return {role: _reference_values(values, f"pins.{spell(role)}") for role, values in value.items()}


def _reference_values(value: object, key: str) -> ReferenceValues:
    table = _members(value, key, optional=_names(ReferenceValues))
    members: dict[str, Any] = {}
    readers: dict[str, Callable[[object, str], Any]] = {"base_images": _base_image, "pcrs": _pcrs}
    for name, items in table.items():
        if name == "images_by_digest":
            members[name] = items
        elif name == "compose_flags":
            members[name] = _compose_flags(items, f"{key}.{name}")
        else:
            members[name] = _listed(items, f"{key}.{name}", readers.get(name, _hex))
    with _under(key):
        return ReferenceValues(**members)


def _compose_flags(value: object, key: str) -> ComposeFlags:
    members = dict(_members(value, key, optional=_names(ComposeFlags)))
    if not members:
        refuse(key, "is an empty table", "at least one key was expected", "demand something, or leave the table out")
    if "allowed_envs" in members:
        members["allowed_envs"] = tuple(_list(members["allowed_envs"], f"{key}.allowed_envs"))
    if "pre_launch_scripts" in members:
        members["pre_launch_scripts"] = _listed(members["pre_launch_scripts"], f"{key}.pre_launch_scripts", _hex)
    with _under(key):
        return ComposeFlags(**members)


def _base_image(value: object, key: str) -> BaseImage:
    table = _members(value, key, required=("label", "mrtd", "rtmr1", "rtmr2"), optional=("rtmr0", "rtmr3", "acpi"))
    if "rtmr0" not in table and "acpi" not in table:
        refuse(f"{key}.rtmr0", "is missing", "a value was expected", "add it, or acpi to accept every memory size")
    acpi = _listed(table["acpi"], f"{key}.acpi", _acpi_tables) if "acpi" in table else None
    registers = {name: _hex(text, f"{key}.{name}") for name, text in table.items() if name not in ("label", "acpi")}
    with _under(key):
        return BaseImage(label=table["label"], acpi=acpi, **registers)


def _acpi_tables(value: object, key: str) -> AcpiTables:
    table = _members(value, key, required=_names(AcpiTables))
    digests = {name: _hex(text, f"{key}.{name}") for name, text in table.items() if name != "label"}
    with _under(key):
        return AcpiTables(label=table["label"], **digests)


def _pcrs(value: object, key: str) -> dict[str, bytes]:
    if not isinstance(value, dict):
        refuse(key, f"is {kind(value)}", "a table like {pcr0 = ...} was expected", "write the PCRs in braces")
    return {name: _hex(text, f"{key}.{spell(name)}") for name, text in value.items()}


def _waiver(value: object, key: str) -> Waiver:
    table = _members(value, key, required=("check", "reason"), optional=("role", "expires"))
    with _under(key):
        return Waiver(**table)


def _hex(value: object, key: str) -> bytes:
    """Hex digits of either case; the length is the constructor's business."""
    expected, action = "hex digits without prefix were expected", "copy the whole value from a report that you verified"
    if not isinstance(value, str):
        refuse(key, f"is {kind(value)}", "a string of hex digits was expected", "write it in quotes")
    if len(value) > 2 * _MAX_HEX:
        refuse(key, f"is {len(value)} characters long", f"at most {2 * _MAX_HEX} {expected}", action)
    try:
        return decode_hex(value, what=key)
    except FormatError:
        refuse(key, "is not an even number of hex digits", expected, action)
