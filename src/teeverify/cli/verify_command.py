"""``teeverify verify``: judge a saved report, or a bare provider response, without any network."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, FormatError

if TYPE_CHECKING:
    from ..policy import Policy
    from ..roots import TrustRoots
    from ..saved import SavedReport
    from ..verdict import AttestationVerdict

__all__ = ["add_parsers", "run"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``verify``."""
    verify = commands.add_parser(
        "verify",
        help="judge a saved report offline",
        description="Judge a saved report, or a bare provider response given with --provider and --report. "
        "Nothing is fetched.",
    )
    verify.add_argument("saved", nargs="?", metavar="SAVED.json", help="a saved report (version 1)")
    verify.add_argument(
        "--policy", metavar="POLICY", help="a policy file, or builtin:NAME (default: the provider's shipped policy)"
    )
    verify.add_argument(
        "--at", default="recorded", metavar="recorded|now|TIME", help="the time to judge for (default: recorded)"
    )
    verify.add_argument("--test-roots", metavar="DIR", help="trust the test roots in DIR instead of the vendors' own")
    output = verify.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON document")
    output.add_argument("-q", "--quiet", action="store_true", help="print the decisive line only")
    bare = verify.add_argument_group("a bare provider response, saved for example with curl")
    bare.add_argument("--provider", metavar="NAME", help="the provider that answered")
    bare.add_argument("--report", metavar="FILE", help="the body of the answer to the attestation report request")
    bare.add_argument("--nonce", metavar="HEX", help="the nonce that was sent, 64 hex digits")
    bare.add_argument("--model", metavar="M", help="the model that was asked for")
    bare.add_argument("--url", metavar="URL", help="the URL that was asked (default: as `teeverify` itself would ask)")
    bare.add_argument("--tls-cert", metavar="FILE", help="PEM certificate that the server showed on that connection")
    bare.add_argument(
        "--collateral", metavar="DIR|SAVED.json", help="answers of Intel and NVIDIA: a folder, or a saved report"
    )
    verify.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge and print; returns the exit code of the outcome."""
    from attrs import evolve

    from ..verifier import verifier_for

    report, recorded = _report(args)
    policy, roots = _policy(args.policy, report.provider), _roots(args.test_roots)
    at, now = _time(args.at, report, recorded), datetime.now(timezone.utc)
    if args.saved is None:  # a bare response claims no time of its own: the one that the caller names is its time
        report = evolve(report, recorded_at=at)
    _refuse_expired_waivers(policy, at)

    verdict = verifier_for(report.provider)(policy, roots=roots).verify_saved(report, at=at, now=now)
    print(_render(verdict, args))
    from ..verdict import Outcome
    from . import EXIT_INCONCLUSIVE, EXIT_REJECTED, EXIT_VERIFIED

    return {
        Outcome.VERIFIED: EXIT_VERIFIED,
        Outcome.REJECTED: EXIT_REJECTED,
        Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
    }[verdict.outcome]


def _report(args: argparse.Namespace) -> tuple[SavedReport, bool]:
    """The report to judge, and whether it says itself when it was recorded."""
    from ..saved import SavedReport

    bare = {name: getattr(args, name) for name in ("provider", "report", "nonce", "model")}
    if args.saved is not None:
        extra = [name for name in (*bare, "url", "tls_cert", "collateral") if getattr(args, name) is not None]
        if extra:
            raise ConfigurationError(f"--{extra[0].replace('_', '-')} does not go with a saved report: leave one out")
        return SavedReport.load(args.saved), True
    missing = [name for name, value in bare.items() if value is None]
    if missing:
        raise ConfigurationError(
            f"give a saved report, or a bare response with --provider, --report, --nonce and --model "
            f"(--{missing[0]} is missing)"
        )
    from .bare_report import read_bare_report

    return read_bare_report(args)


def _policy(argument: str | None, provider: str) -> Policy:
    from .policy_commands import read_policy_argument

    if argument is not None:
        return read_policy_argument(argument)
    from ..verifier import verifier_for

    verifier_for(provider)  # an unknown provider is the clearer error
    return read_policy_argument(f"builtin:{provider}")


def _roots(directory: str | None) -> TrustRoots:
    from ..roots import PRODUCTION_ROOTS, TrustRoots

    return PRODUCTION_ROOTS if directory is None else TrustRoots.from_directory(Path(directory))


def _time(text: str, report: SavedReport, recorded: bool) -> datetime:
    from ..saved import parse_time

    if text == "recorded" and recorded:
        return report.recorded_at
    if text in ("recorded", "now"):
        return datetime.now(timezone.utc)
    try:
        return parse_time(text, what="--at")
    except FormatError as error:
        raise ConfigurationError(f"{error}; recorded and now are accepted as well") from None


def _refuse_expired_waivers(policy: Policy, at: datetime) -> None:
    expired = policy.expired_waivers(at)
    if expired:
        waiver = expired[0]
        raise ConfigurationError(
            f"policy {policy.name!r} waives {waiver.check} until {waiver.expires}, which is past at the time judged: "
            "renew the waiver or remove it"
        )


def _render(verdict: AttestationVerdict, args: argparse.Namespace) -> str:
    if args.json:
        from ..render.json_document import to_json

        return to_json(verdict)
    from ..render.text import to_line, to_text

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if args.quiet:
        return to_line(verdict, colour=colour)
    return to_text(verdict, width=shutil.get_terminal_size((100, 24)).columns, colour=colour)
