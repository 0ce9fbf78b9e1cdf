"""``teeverify dstack measure``: the registers that a dstack guest must show, computed from published files."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import ConfigurationError, FormatError

__all__ = ["add_parser", "run"]

_SCHEMA: Final = "teeverify.dstack-measure/v1"
_SIZE: Final = re.compile(r"([0-9]{1,19})(|KiB|MiB|GiB|TiB)")
_UNITS: Final = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
_USUAL_MEMORY: Final = 1 << 40
"""Any size from 2816 MiB on: they all lead to one RTMR1."""
_FILES: Final = ("ovmf", "kernel", "initrd", "cmdline")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``measure`` to the commands of ``teeverify dstack``."""
    measure = commands.add_parser(
        "measure",
        help="compute the registers that a dstack image must lead to",
        description="Compute the expected registers of a dstack guest: those that can be computed from what is given. "
        "Nothing is fetched. Whether the image is a good one is not said by its registers.",
        epilog="exit codes: 0 printed, 2 usage error, 4 a file is not what it should be",
    )
    measure.add_argument("--memory", metavar="SIZE", help="the guest's memory: bytes, or like 2TiB, 2816MiB (RTMR0)")
    measure.add_argument("--acpi", metavar="LOADER,RSDP,TABLES", help="the three ACPI digests in hex (RTMR0)")
    measure.add_argument("--image", metavar="DIR", help="an unpacked image, with sha256sum.txt and metadata.json")
    files = measure.add_argument_group("single files, in place of --image; no list of digests vouches for them")
    files.add_argument("--ovmf", metavar="FILE", help="the firmware (MRTD)")
    files.add_argument("--kernel", metavar="FILE", help="the kernel (with --initrd: RTMR1)")
    files.add_argument("--initrd", metavar="FILE", help="the initrd (with --cmdline: RTMR2)")
    files.add_argument("--cmdline", metavar="TEXT", help="the kernel's arguments as metadata.json has them")
    measure.add_argument("--json", action="store_true", help="print one JSON document")
    measure.set_defaults(run=run)


@frozen(kw_only=True, repr=False)
class _Inputs:
    """What was given, read; None for what was not. ``about`` is what an image says about itself.

    ``has_known_firmware`` is true where the caller gives a file himself: he says which firmware it is.
    """

    memory: int | None
    acpi: tuple[bytes, bytes, bytes] | None
    ovmf: bytes | None
    kernel: bytes | None
    initrd: bytes | None
    cmdline: str | None
    has_known_firmware: bool
    about: Mapping[str, str | bool | None]


@frozen(kw_only=True)
class _Measured:
    """Registers in hex by name, and for those that were not computed the reason."""

    registers: Mapping[str, str]
    missing: Mapping[str, str]


def run(args: argparse.Namespace) -> int:
    """Print the registers; returns 0."""
    inputs = _inputs(args)
    if all(getattr(inputs, name) is None for name in ("memory", "acpi", *_FILES)):
        raise ConfigurationError("nothing is given to measure, --image or --memory with --acpi was expected: add them")
    found = {name: compute(inputs) for name, compute in _REGISTERS.items()}
    measured = _Measured(
        registers={name: value.hex() for name, value in found.items() if isinstance(value, bytes)},
        missing={name: value for name, value in found.items() if isinstance(value, str)},
    )
    print(_json(inputs, measured) if args.json else _text(inputs, measured))
    return 0


def _inputs(args: argparse.Namespace) -> _Inputs:
    from .dstack_files import read_image, read_regular

    memory = None if args.memory is None else _memory(args.memory)
    acpi = None if args.acpi is None else _acpi(args.acpi)
    if args.image is None:
        paths = {name: getattr(args, name) for name in ("ovmf", "kernel", "initrd")}
        files = {name: None if path is None else read_regular(Path(path)) for name, path in paths.items()}
        return _Inputs(memory=memory, acpi=acpi, **files, cmdline=args.cmdline, has_known_firmware=True, about={})
    if any(getattr(args, name) is not None for name in _FILES):
        raise ConfigurationError("--image stands beside a single file, one of the two was expected: drop the file")
    image = read_image(Path(args.image))
    about = {
        "os_image_hash": image.os_image_hash.hex(),
        "version": image.metadata.version,
        "is_dev": image.metadata.is_dev,
    }
    return _Inputs(
        memory=memory,
        acpi=acpi,
        ovmf=image.ovmf,
        kernel=image.kernel,
        initrd=image.initrd,
        cmdline=image.metadata.cmdline,
        has_known_firmware=image.metadata.has_known_firmware,
        about=about,
    )


def _memory(text: str) -> int:
    from ..formats.td_hob import td_hob

    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"--memory is {text[:40]!r}, a size like 2TiB was expected: write it so, or in bytes")
    try:
        size = int(match[1]) << _UNITS[match[2]]
        td_hob(size)  # refuses what no machine can have
    except FormatError as error:
        raise ConfigurationError(f"--memory: {error}") from None
    return size


def _acpi(text: str) -> tuple[bytes, bytes, bytes]:
    from ..formats.encodings import decode_hex

    parts = text.split(",")
    if len(parts) != 3:
        raise ConfigurationError(f"--acpi has {len(parts)} parts, LOADER,RSDP,TABLES was expected: give three digests")
    try:
        loader, rsdp, tables = (decode_hex(part, what="a digest", size=48) for part in parts)
    except FormatError as error:
        raise ConfigurationError(f"--acpi is not three digests ({error}): copy the whole values") from None
    return loader, rsdp, tables


def _mrtd(inputs: _Inputs, *, two_pass: bool) -> bytes | str:
    from ..formats.tdvf import mrtd, parse_tdvf

    if inputs.ovmf is None:
        return "needs --image or --ovmf"
    return mrtd(parse_tdvf(inputs.ovmf), two_pass=two_pass)


def _rtmr0(inputs: _Inputs) -> bytes | str:
    from ..formats.dstack_measurement import rtmr0
    from ..formats.td_hob import ACCEPTED_RANGES
    from ..formats.tdvf import parse_tdvf

    if inputs.memory is None or inputs.acpi is None:
        return "needs --memory and --acpi"
    if not inputs.has_known_firmware:
        return "the image does not say that its firmware is older than edk2-stable202505, which measures other rows"
    if inputs.ovmf is not None and parse_tdvf(inputs.ovmf).accepted_ranges != tuple(sorted(ACCEPTED_RANGES)):
        return "the firmware accepts other memory ranges than the one whose rows are known"
    return rtmr0(inputs.memory, *inputs.acpi)


def _rtmr1(inputs: _Inputs) -> bytes | str:
    from ..formats.dstack_measurement import rtmr1
    from ..formats.linux_kernel import kernel_digest

    if inputs.kernel is None or inputs.initrd is None:
        return "needs --image, or --kernel and --initrd"
    memory = _USUAL_MEMORY if inputs.memory is None else inputs.memory
    return rtmr1(kernel_digest(inputs.kernel, len(inputs.initrd), memory))


def _rtmr2(inputs: _Inputs) -> bytes | str:
    from ..formats.dstack_measurement import rtmr2

    if inputs.initrd is None or inputs.cmdline is None:
        return "needs --image, or --initrd and --cmdline"
    return rtmr2(inputs.cmdline, hashlib.sha384(inputs.initrd).digest())


_REGISTERS: Final[Mapping[str, Callable[[_Inputs], bytes | str]]] = {
    "mrtd": lambda inputs: _mrtd(inputs, two_pass=False),
    "mrtd_qemu_8": lambda inputs: _mrtd(inputs, two_pass=True),
    "rtmr0": _rtmr0,
    "rtmr1": _rtmr1,
    "rtmr2": _rtmr2,
}


def _json(inputs: _Inputs, measured: _Measured) -> str:
    document = {
        "schema": _SCHEMA,
        "memory_size": inputs.memory,
        "image": dict(inputs.about) or None,
        "registers": measured.registers,
        "not_computed": measured.missing,
    }
    return json.dumps(document, indent=2)


def _text(inputs: _Inputs, measured: _Measured) -> str:
    from ..formats.linux_kernel import has_usual_digest
    from ..render.text import printable

    rows = {name: _word(value) for name, value in inputs.about.items()}
    if inputs.memory is not None:
        rows["memory_size"] = str(inputs.memory)
    rows |= measured.registers
    rows |= {name: f"not computed: {why}" for name, why in measured.missing.items()}
    lines = [f"{name:13}  {value}" for name, value in rows.items()]
    if "rtmr1" in measured.registers:
        usual = inputs.memory is None or has_usual_digest(inputs.memory)
        lines.append(
            f"rtmr1 is that of {'2 GiB of memory and of every size from 2816 MiB on' if usual else 'this size'}."
        )
    return "\n".join(printable(line) for line in lines)


def _word(value: str | bool | None) -> str:
    if isinstance(value, str):
        return value
    return "not said" if value is None else "yes" if value else "no"
