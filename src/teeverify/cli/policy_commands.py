"""``teeverify policy show|diff|lint|pin``: look at policies, compare them, and write a first one."""

from __future__ import annotations

import argparse
import importlib
import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from teeverify.errors import ConfigurationError

from .connecting import add_connecting_options

if TYPE_CHECKING:
    from teeverify.policy import Policy

__all__ = ["add_parsers", "read_policy_argument"]

_BUILTIN = "builtin:"
_WHERE = "POLICY.toml, or builtin:NAME for a shipped policy"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``policy`` and its commands; each sets ``run``, a function of the parsed arguments that returns an exit code.

    `ConfigurationError` (a policy that cannot be built, a bad time) is left to the caller: exit code 2.
    """
    policy = subparsers.add_parser("policy", help="show, compare, check and write policies")
    commands = policy.add_subparsers(dest="policy_command", metavar="COMMAND", required=True)

    show = commands.add_parser("show", help="print a policy with its digest")
    source = show.add_mutually_exclusive_group(required=True)
    source.add_argument("policy", nargs="?", metavar="POLICY", help=_WHERE)
    source.add_argument("--builtin", metavar="NAME", help="the shipped policy of that name")
    show.add_argument("--json", action="store_true", help="print one JSON document")
    show.set_defaults(run=_show)

    compare = commands.add_parser("diff", help="say in words what changes from policy A to policy B")
    compare.add_argument("before", metavar="A", help=_WHERE)
    compare.add_argument("after", metavar="B", help=_WHERE)
    compare.set_defaults(run=_diff)

    check = commands.add_parser("lint", help="give advice on a valid policy")
    check.add_argument("policy", metavar="POLICY", help=_WHERE)
    check.add_argument("--at", metavar="TIME", help="hold dates against this time (RFC 3339) instead of now")
    check.set_defaults(run=_lint)

    _add_pin(commands)


def _add_pin(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    pin = commands.add_parser(
        "pin",
        help="write a policy that pins what a saved report shows, or propose one from a provider's list",
        description="Write a policy that pins what a saved report shows, or with --from-provider one that pins what "
        "a provider says of its own images: an unsigned word, to be judged by you. No other command reads that list.",
    )
    pin.add_argument("saved", nargs="?", metavar="SAVED.json", help="a saved report")
    pin.add_argument("--out", metavar="FILE", help="write to this file instead of standard output")
    pin.add_argument("--name", metavar="NAME", help="name of the policy")
    pin.add_argument("--test-roots", metavar="DIR", help="trust the test roots in DIR instead of the vendors' own")
    listed = pin.add_argument_group("a provider's own list, in place of a saved report")
    listed.add_argument("--from-provider", metavar="NAME", help="the provider that lists its images: chutes")
    listed.add_argument("--measurements", metavar="FILE", help="a saved copy of the list; nothing is fetched then")
    add_connecting_options(listed)
    pin.set_defaults(run=_pin)


def read_policy_argument(argument: str) -> Policy:
    """The policy that a command-line argument names: a path, or ``builtin:NAME``.

    Raises:
        PolicyError: there is none, or it is not a policy.
    """
    from teeverify.policy import Policy

    if argument.startswith(_BUILTIN):
        return Policy.builtin(argument.removeprefix(_BUILTIN))
    return Policy.load(argument)


def _show(args: argparse.Namespace) -> int:
    from teeverify.policy_document import document_of
    from teeverify.policy_toml import to_toml

    policy = read_policy_argument(args.policy if args.builtin is None else f"{_BUILTIN}{args.builtin}")
    if args.json:
        print(json.dumps({"digest": policy.digest, "policy": document_of(policy)}, indent=2))
    else:
        print(to_toml(policy, header=(f"digest: {policy.digest}", "")), end="")
    return 0


def _diff(args: argparse.Namespace) -> int:
    from teeverify.policy_diff import diff

    before, after = read_policy_argument(args.before), read_policy_argument(args.after)
    changes = diff(before, after)
    if not changes:
        print(f"The two policies mean the same (digest {after.digest}).")
        return 0
    print(f"From {before.name} ({before.digest[:12]}) to {after.name} ({after.digest[:12]}), the second policy:")
    for change in changes:
        print(f"  {change.direction:9}  {change.sentence}  [{change.key}]")
    return 0


def _lint(args: argparse.Namespace) -> int:
    from teeverify.policy_lint import lint

    policy = read_policy_argument(args.policy)
    at = datetime.now(timezone.utc) if args.at is None else _time(args.at)
    advice = lint(policy, at)
    for sentence in advice:
        print(sentence)
    if not advice:
        print(f"{policy.name}: no advice.")
    return 0


def _pin(args: argparse.Namespace) -> int:
    # Imported late: it needs the whole verifier, which the other commands do without.
    code: int = importlib.import_module("teeverify.cli.pin_command").run(args)
    return code


def _time(text: str) -> datetime:
    expected = "a time like 2026-06-29T12:00:00Z was expected: write date, time and zone"
    if not _TIME.fullmatch(text):
        raise ConfigurationError(f"--at is {text!r}, {expected}")
    try:
        # Python 3.10 knows neither "Z" nor fractions of other than three or six digits.
        stamp, _, fraction = text.replace("Z", "+00:00").partition(".")
        if fraction:
            digits, zone = fraction[:-6], fraction[-6:]
            return datetime.fromisoformat(f"{stamp}.{digits:0<6}{zone}")
        return datetime.fromisoformat(stamp)
    except ValueError:
        raise ConfigurationError(f"--at is {text!r}, which no calendar has, {expected}") from None
