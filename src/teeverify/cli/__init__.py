"""The command line. `main` takes arguments and returns an exit code; it never raises and never shows a traceback.

Exit codes: 0 VERIFIED, 1 REJECTED, 2 usage or policy error, 3 INCONCLUSIVE, 4 malformed input, 70 internal error.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from ..errors import ConfigurationError, InputError, TeeverifyError

__all__ = ["EXIT_INCONCLUSIVE", "EXIT_MALFORMED", "EXIT_REJECTED", "EXIT_USAGE", "EXIT_VERIFIED", "entry", "main"]

EXIT_VERIFIED: Final = 0
EXIT_REJECTED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INCONCLUSIVE: Final = 3
EXIT_MALFORMED: Final = 4
EXIT_INTERNAL: Final = 70
_COMMANDS: Final = (
    "demo_command",
    "verify_command",
    "attest_command",
    "exchange_command",
    "selftest_command",
    "catalogue_commands",
    "quote_command",
    "nitro_command",
    "dstack_command",
    "policy_commands",
    "simulate_command",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name; by default those of the process.

    Returns:
        An exit code as listed at the top of this module.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = _parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except SystemExit as stop:  # argparse: --help, --version and usage errors
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except ConfigurationError as error:
        return _complain(error, EXIT_USAGE)
    except InputError as error:
        return _complain(error, EXIT_MALFORMED)
    except TeeverifyError as error:
        return _complain(error, EXIT_INCONCLUSIVE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERNAL
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(f"teeverify: internal error: {type(error).__name__}; please report it (SECURITY.md)", file=sys.stderr)
        if os.environ.get("TEEVERIFY_DEBUG"):
            raise
        return EXIT_INTERNAL


def entry() -> None:
    """Entry point of the console script."""
    sys.exit(main())


def _complain(error: TeeverifyError, code: int) -> int:
    from ..render.text import printable

    print(f"teeverify: {printable(str(error))}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="teeverify",
        description="Judge TEE attestation evidence of confidential-inference providers, in your own process.",
        epilog="exit codes: 0 VERIFIED, 1 REJECTED, 2 usage or policy error, 3 INCONCLUSIVE, 4 malformed input, "
        "70 internal error",
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f".{name}", __package__).add_parsers(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version; reads the package's metadata only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__

        print(f"teeverify {__version__}")
        parser.exit()
