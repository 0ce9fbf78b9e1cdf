"""``teeverify quote``: take a TDX quote apart. Nothing that it prints was verified."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

__all__ = ["add_parsers"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``quote``."""
    quote = commands.add_parser("quote", help="print the fields of a TDX quote, unverified")
    quote.add_argument("file", metavar="FILE", help="the quote as bytes or as hex digits")
    quote.set_defaults(run=_quote)


def _quote(args: argparse.Namespace) -> int:
    import attrs

    from ..crypto.dcap import pck_platform
    from ..errors import InputError
    from ..formats.tdx_quote import parse_quote
    from ..limits import MAX_QUOTE

    try:
        with Path(args.file).open("rb") as file:
            data = file.read(2 * MAX_QUOTE + 16)
    except OSError as error:
        raise InputError(f"the file {args.file!r} cannot be read: {error.strerror}") from None
    if re.fullmatch(rb"\s*(?:[0-9a-fA-F]{2})+\s*", data):
        data = bytes.fromhex(data.decode("ascii"))
    quote = parse_quote(data)
    print(f"TDX quote, version {quote.version}, {len(data)} bytes ({quote.padding} of padding); NOT verified")
    platform = pck_platform(data)
    if platform is not None:
        print(f"  {'fmspc':16} {platform[0].hex()}\n  {'pck_ca':16} {platform[1]}")
    for name, value in attrs.asdict(quote.report).items():
        if value is not None:
            print(f"  {name:16} {value.hex()}")
    return 0
