"""``teeverify selftest``: alter a saved report one field at a time and show which check refuses each alteration."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import TYPE_CHECKING

from .judging import (
    add_judging_options,
    chosen_policy,
    chosen_roots,
    chosen_time,
    exit_code,
    refuse_expired_waivers,
)

if TYPE_CHECKING:
    from ..selftest import Row, SelftestResult
    from ..verdict import AttestationVerdict, VerifiedExchange

__all__ = ["add_parsers", "run"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``selftest``."""
    selftest = commands.add_parser(
        "selftest",
        help="alter a saved report field by field and show what refuses it",
        description="Judge a saved report, which must be VERIFIED, then alter it one field at a time and judge every "
        "altered report as of the same time and under the same policy. Nothing is fetched, nothing is written.",
        epilog="exit codes: 0 every altered field that is signed or pinned was refused, 1 one was not (or the report "
        "itself is REJECTED), 2 usage or policy error, 3 the report itself is INCONCLUSIVE, 4 malformed input",
    )
    selftest.add_argument("saved", metavar="SAVED.json", help="a saved report (version 1)")
    selftest.add_argument(
        "--at", default="recorded", metavar="recorded|now|TIME", help="the time to judge for (default: recorded)"
    )
    selftest.add_argument(
        "--all", action="store_true", dest="every_leaf", help="alter every single value in all ways; takes minutes"
    )
    add_judging_options(selftest)
    selftest.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge the report and its alterations and print; returns an exit code as listed in the command's help."""
    from ..errors import VerificationError
    from ..registry import verifier_for
    from ..saved import SavedReport
    from ..selftest import selftest

    report = SavedReport.load(args.saved)
    policy, roots = chosen_policy(args.policy, report.provider), chosen_roots(args.test_roots)
    at = chosen_time(args.at, report, True)
    refuse_expired_waivers(policy, at)
    verifier = verifier_for(report.provider)(policy, roots=roots)
    progress = _Progress(shown=sys.stderr.isatty() and not args.quiet)
    try:
        result = selftest(report, verifier, at=at, every_leaf=args.every_leaf, on_result=progress.step)
    except VerificationError as refused:
        return _untouched(refused.verdict, report.digest, args)
    finally:
        progress.end()
    return _shown(result, args)


def _shown(result: SelftestResult, args: argparse.Namespace) -> int:
    from ..selftest.rendering import ALARM, to_json, to_line, to_text
    from . import EXIT_REJECTED, EXIT_VERIFIED

    if args.json:
        print(to_json(result))
    elif args.quiet:
        print(to_line(result))
    else:
        print(to_text(result, width=shutil.get_terminal_size((100, 24)).columns))
    if not result.accepted:
        return EXIT_VERIFIED
    print(ALARM, file=sys.stderr)
    return EXIT_REJECTED


def _untouched(verdict: AttestationVerdict | VerifiedExchange, report_digest: str, args: argparse.Namespace) -> int:
    """Show why the report cannot be tested with; returns the exit code of its own verdict."""
    from ..render.text import to_line
    from ..selftest.rendering import untouched_to_json
    from ..verdict import AttestationVerdict

    if args.json and isinstance(verdict, AttestationVerdict):
        print(untouched_to_json(verdict, report_digest))
    else:
        print(to_line(verdict))
    return exit_code(verdict.outcome)


class _Progress:
    """A counter on the terminal, for the seconds until the result is there."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._count = 0

    def step(self, row: Row) -> None:
        """Count one alteration."""
        del row
        self._count += 1
        if self._shown:
            print(f"\r{self._count} alterations judged", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove the counter."""
        if self._shown and self._count:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
