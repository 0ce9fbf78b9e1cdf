"""Where the commands that talk to the network connect to."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..requests_transport import RequestsTransport

__all__ = ["add_connecting_options", "chosen_transport"]

_PORT: Final = re.compile(r"[0-9]{1,5}\Z")


def add_connecting_options(parser: argparse._ActionsContainer) -> None:
    """Add --connect-to and --ca."""
    parser.add_argument("--connect-to", metavar="ADDRESS:PORT", help="open every connection there, names unchanged")
    parser.add_argument(
        "--ca", metavar="FILE", help="PEM certificates to verify servers by, in place of the usual ones"
    )


def chosen_transport(args: argparse.Namespace) -> RequestsTransport:
    """A transport over the network, as the options say; the caller closes it.

    Raises:
        ConfigurationError: an option is not what it should be.
    """
    from ..requests_transport import RequestsTransport

    options: dict[str, Any] = {}
    if args.connect_to is not None:
        address, _, port = args.connect_to.rpartition(":")
        if not address or not _PORT.match(port) or not 0 < int(port) < 65536:
            raise ConfigurationError(f"--connect-to is {args.connect_to!r}, ADDRESS:PORT was expected")
        options["connect_to"] = {"*": (address, int(port))}
    if args.ca is not None:
        options["ca_file"] = args.ca
    return RequestsTransport(**options)
