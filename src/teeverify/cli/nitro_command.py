"""``teeverify nitro``: take the attestation document of an AWS Nitro enclave apart, and verify its signatures."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, FormatError, InputError
from .judging import chosen_roots, exit_code

if TYPE_CHECKING:
    from ..formats.nitro_document import NitroDocument
    from ..policy import Policy
    from ..verdict import CheckResult

__all__ = ["add_parsers"]

_ROLE: Final = "enclave"
_ALWAYS: Final = (
    "evidence.wellformed",
    "nitro.cert_chain",
    "nitro.cose_signature",
    "nitro.timestamp",
    "nitro.not_debug",
)
_NONCE: Final = "freshness.nonce_bound"
_PCRS: Final = "nitro.pcrs"
_OPEN: Final = {
    _NONCE: "whether it answers your challenge (give --nonce)",
    _PCRS: "which program runs in the enclave (give --pcr0, --pcr1 and --pcr2)",
    "nitro.user_data": "whose keys user_data names",
}
"""Checks that need something from beside the document, and what is open without them."""
_PCR_OPTIONS: Final = (0, 1, 2, 3, 4, 8)
_RAW: Final = (b"\x84", b"\xd2")
"""How COSE_Sign1 begins, without its tag and with it; base64 has no such byte."""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nitro``."""
    nitro = commands.add_parser(
        "nitro",
        help="take an AWS Nitro attestation document apart and verify its signatures",
        description="Take an AWS Nitro attestation document apart and verify what can be verified of it alone: its "
        "signature, AWS's certificates, its age, that the enclave is not in debug mode, and the nonce and the PCRs "
        "that you give. A document that passes is some genuine enclave's; without PCRs it may be anybody's.",
    )
    nitro.add_argument("file", metavar="FILE", help="the document as base64 text or as bytes")
    nitro.add_argument(
        "--at", default="now", metavar="now|document|TIME", help="the time to judge for; `document` is its own date"
    )
    nitro.add_argument("--nonce", metavar="HEX", help="the nonce that was sent: 20 bytes, or a challenge of 32")
    for index in _PCR_OPTIONS:
        nitro.add_argument(f"--pcr{index}", metavar="HEX", help=f"what PCR{index} must be, 48 bytes")
    nitro.add_argument("--test-roots", metavar="DIR", help="trust the test roots in DIR instead of AWS's own")
    nitro.add_argument("--json", action="store_true", help="print one JSON document")
    nitro.set_defaults(run=_nitro)


def _nitro(args: argparse.Namespace) -> int:
    from ..appraisal import appraise, fold
    from ..claims.binding import BindingClaims
    from ..claims.subject import Subject
    from ..derivation.nitro import derive_nitro
    from ..formats.nitro_document import NONCE_SIZE, parse_document

    table, nonce = _pinned(args), _hex("--nonce", args.nonce, (NONCE_SIZE, 32))
    data, roots = _read(args.file), chosen_roots(args.test_roots)
    document = parse_document(data)
    at = _time(args.at, document)
    subject = Subject(
        id=_ROLE,
        role=_ROLE,
        provider="nitro",
        evaluated_at=at,
        recorded_at=None,
        wall_clock=at,
        binding=BindingClaims(nonce=nonce, asked_nonce=nonce[:NONCE_SIZE]),
        nitro=derive_nitro(data, at=at, roots=roots),
        test_roots=roots.test,
    )
    given = {_NONCE: bool(nonce), _PCRS: bool(table)}
    judged = [*_ALWAYS, *(check_id for check_id, is_given in given.items() if is_given)]
    results = appraise(subject, _policy(table), dict.fromkeys(judged, (_ROLE,)))
    missing = {check_id: words for check_id, words in _OPEN.items() if check_id not in judged}
    show = _show_json if args.json else _show_text
    show(document, results, missing, at, roots.test)
    return exit_code(fold(results))


def _read(name: str) -> bytes:
    from ..formats.nitro_document import decode_document
    from ..limits import MAX_NITRO_DOCUMENT

    try:
        with Path(name).open("rb") as file:
            data = file.read(2 * MAX_NITRO_DOCUMENT)
    except OSError as error:
        raise InputError(f"the file {name!r} cannot be read: {error.strerror}") from None
    return data if data.startswith(_RAW) else decode_document(data)


def _hex(option: str, text: str | None, sizes: tuple[int, ...]) -> bytes:
    """The bytes of an option, or none where it was not given."""
    from ..formats.encodings import decode_hex

    if text is None:
        return b""
    try:
        value = decode_hex(text, what=option)
    except FormatError as error:
        raise ConfigurationError(str(error)) from None
    if len(value) not in sizes:
        expected = " or ".join(str(size) for size in sizes)
        raise ConfigurationError(f"{option} is {len(value)} bytes long, {expected} were expected")
    return value


def _pinned(args: argparse.Namespace) -> dict[str, bytes]:
    given = {f"pcr{index}": _hex(f"--pcr{index}", getattr(args, f"pcr{index}"), (48,)) for index in _PCR_OPTIONS}
    table = {name: value for name, value in given.items() if value}
    missing = [name for name in ("pcr0", "pcr1", "pcr2") if name not in table]
    if table and missing:
        raise ConfigurationError(f"--{missing[0]} is missing: PCR0, PCR1 and PCR2 tell an image only together")
    return table


def _policy(table: dict[str, bytes]) -> Policy:
    """A policy that pins the given PCRs; without any it pins zeros, which no enclave outside debug mode has."""
    from ..policy import Policy, ReferenceValues

    pinned = table or {f"pcr{index}": bytes(48) for index in (0, 1, 2)}
    pins = {_ROLE: ReferenceValues(pcrs=(pinned,))}
    return Policy(name="command line", provider="nitro", valid_until=date.max, pins=pins)


def _time(text: str, document: NitroDocument) -> datetime:
    from ..saved import parse_time

    if text == "now":
        return datetime.now(timezone.utc)
    if text == "document":
        return document.timestamp
    try:
        return parse_time(text, what="--at")
    except FormatError as error:
        raise ConfigurationError(f"{error}; now and document are accepted as well") from None


def _fields(document: NitroDocument) -> dict[str, str | None]:
    """What the document states, by name; bytes as hex."""
    chosen = {name: getattr(document, name) for name in ("public_key", "user_data", "nonce")}
    return {
        "module_id": document.module_id,
        "timestamp": document.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **{f"pcr{index}": value.hex() for index, value in document.pcrs.items()},
        **{name: None if value is None else value.hex() for name, value in chosen.items()},
    }


def _show_text(
    document: NitroDocument,
    results: tuple[CheckResult, ...],
    missing: dict[str, str],
    at: datetime,
    test_roots: bool,
) -> None:
    from ..render.text import checks_text, printable

    under = " under TEST ROOTS, which prove nothing about real hardware" if test_roots else ""
    print(f"AWS Nitro attestation document, judged as of {at:%Y-%m-%d %H:%M:%S} UTC{under}")
    zero = [
        name for name, value in _fields(document).items() if name.startswith("pcr") and not (value or "").strip("0")
    ]
    for name, value in _fields(document).items():
        if name not in zero:
            print(f"  {name:12} {'none' if value is None else printable(value)}")
    if zero:
        print(f"  {'all zero':12} {', '.join(zero)}")
    print(checks_text(results, colour=sys.stdout.isatty()))
    for check_id, words in missing.items():
        print(f"  not judged: {check_id}, {words}")


def _show_json(
    document: NitroDocument,
    results: tuple[CheckResult, ...],
    missing: dict[str, str],
    at: datetime,
    test_roots: bool,
) -> None:
    from ..render.json_document import check_document
    from ..saved import format_time

    shown = {
        "evaluated_at": format_time(at),
        "document": _fields(document),
        "checks": [check_document(result) for result in results],
        "not_judged": sorted(missing),
    }
    print(json.dumps({**shown, "test_roots": True} if test_roots else shown, indent=2))
