"""What the judging commands share: policy, trust roots, the time to judge for, output and exit codes."""

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
    from ..verdict import AttestationVerdict, Outcome, VerifiedExchange

__all__ = [
    "add_judging_options",
    "add_time_option",
    "chosen_policy",
    "chosen_roots",
    "chosen_time",
    "exit_code",
    "refuse_expired_waivers",
    "rendered",
]


def add_judging_options(parser: argparse.ArgumentParser) -> None:
    """Add --policy, --test-roots, and --json or --quiet."""
    parser.add_argument(
        "--policy", metavar="POLICY", help="a policy file, or builtin:NAME (default: the provider's shipped policy)"
    )
    parser.add_argument("--test-roots", metavar="DIR", help="trust the test roots in DIR instead of the vendors' own")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON document")
    output.add_argument("-q", "--quiet", action="store_true", help="print the decisive line only")


def add_time_option(parser: argparse.ArgumentParser) -> None:
    """Add --at, of the commands that judge a saved report; `chosen_time` reads it."""
    parser.add_argument(
        "--at", default="recorded", metavar="recorded|now|TIME", help="the time to judge for (default: recorded)"
    )


def exit_code(outcome: Outcome) -> int:
    """The exit code of an outcome."""
    from ..verdict import Outcome
    from . import EXIT_INCONCLUSIVE, EXIT_REJECTED, EXIT_VERIFIED

    return {
        Outcome.VERIFIED: EXIT_VERIFIED,
        Outcome.REJECTED: EXIT_REJECTED,
        Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
    }[outcome]


def chosen_policy(argument: str | None, provider: str) -> Policy:
    """The policy that an argument names, or the shipped one of the provider.

    Raises:
        ConfigurationError: none is named, and the shipped one accepts development images: that is nobody's default.
    """
    from ..errors import ConfigurationError
    from .policy_commands import read_policy_argument

    if argument is not None:
        return read_policy_argument(argument)
    from ..registry import verifier_for

    verifier_for(provider)  # an unknown provider is the clearer error
    policy = read_policy_argument(f"builtin:{provider}")
    if _accepts_development_images(policy):
        raise ConfigurationError(
            f"builtin:{provider} accepts development images, which let the operator into the guest: pass --policy "
            f"builtin:{provider} to take them, or a policy of your own"
        )
    return policy


def _accepts_development_images(policy: Policy) -> bool:
    """Whether a shipped policy says of an image that it is one for development; labels of other files say nothing."""
    images = (image for pins in policy.pins.values() for image in pins.base_images or ())
    return any(image.label.startswith("DEVELOPMENT IMAGE") for image in images)


def chosen_roots(directory: str | None) -> TrustRoots:
    """The vendors' own roots, or the test roots of a folder."""
    from ..roots import PRODUCTION_ROOTS, TrustRoots

    return PRODUCTION_ROOTS if directory is None else TrustRoots.from_directory(Path(directory))


def chosen_time(text: str, report: SavedReport, recorded: bool) -> datetime:
    """The time to judge for: ``recorded`` (now, where the report does not say), ``now``, or a time."""
    from ..saved import parse_time

    if text == "recorded" and recorded:
        return report.recorded_at
    if text in ("recorded", "now"):
        return datetime.now(timezone.utc)
    try:
        return parse_time(text, what="--at")
    except FormatError as error:
        raise ConfigurationError(f"{error}; recorded and now are accepted as well") from None


def refuse_expired_waivers(policy: Policy, at: datetime) -> None:
    """A waiver that has run out is an error, not a surprise in the verdict."""
    expired = policy.expired_waivers(at)
    if expired:
        waiver = expired[0]
        raise ConfigurationError(
            f"policy {policy.name!r} waives {waiver.check} until {waiver.expires}, which is past at the time judged: "
            "renew the waiver or remove it"
        )


def rendered(verdict: AttestationVerdict | VerifiedExchange, args: argparse.Namespace) -> str:
    """The verdict as the arguments want it: JSON, the decisive line, or all of it."""
    if args.json:
        from ..render.json_document import to_json

        return to_json(verdict)
    from ..render.text import to_line, to_text

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if args.quiet:
        return to_line(verdict, colour=colour)
    return to_text(verdict, width=shutil.get_terminal_size((100, 24)).columns, colour=colour)
