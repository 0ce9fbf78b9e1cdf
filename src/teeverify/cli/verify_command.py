"""``teeverify verify``: judge a saved report, or a bare provider response, without any network."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from .judging import (
    add_judging_options,
    add_time_option,
    chosen_policy,
    chosen_roots,
    chosen_time,
    exit_code,
    refuse_expired_waivers,
    rendered,
)

if TYPE_CHECKING:
    from ..saved import SavedReport

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
    add_time_option(verify)
    add_judging_options(verify)
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

    from ..registry import verifier_for

    report, recorded = _report(args)
    policy, roots = chosen_policy(args.policy, report.provider), chosen_roots(args.test_roots)
    at, now = chosen_time(args.at, report, recorded), datetime.now(timezone.utc)
    if args.saved is None:  # a bare response claims no time of its own: the one that the caller names is its time
        report = evolve(report, recorded_at=at)
    refuse_expired_waivers(policy, at)

    verdict = verifier_for(report.provider)(policy, roots=roots).verify_saved(report, at=at, now=now)
    print(rendered(verdict, args))
    return exit_code(verdict.outcome)


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
