"""``teeverify checks`` and ``teeverify explain``: the catalogue of checks, as the verdicts use it."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from ..errors import UnknownCheckError

if TYPE_CHECKING:
    from ..checks.catalogue import Check

__all__ = ["add_parsers"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``checks`` and ``explain``."""
    checks = commands.add_parser("checks", help="list the checks")
    checks.add_argument("--provider", metavar="NAME", help="only the checks of this provider, with their roles")
    checks.add_argument("--markdown", action="store_true", help="print the page docs/checks.md")
    checks.set_defaults(run=_checks)
    explain = commands.add_parser("explain", help="explain one check in words")
    explain.add_argument("check_id", metavar="CHECK_ID", help="for example dstack.event_digests")
    explain.set_defaults(run=_explain)


def _checks(args: argparse.Namespace) -> int:
    from ..checks.catalogue import all_checks

    if args.markdown:
        from ..render.markdown import catalogue_page

        print(catalogue_page(), end="")
        return 0
    roles = None
    if args.provider is not None:
        from ..registry import verifier_for

        roles = verifier_for(args.provider).applicable
    for check in all_checks():
        if roles is None:
            print(f"{check.id:28} {'mandatory' if check.mandatory else '':10} {check.title}")
        elif check.id in roles:
            print(
                f"{check.id:28} {'mandatory' if check.mandatory else '':10} {', '.join(roles[check.id])}: {check.title}"
            )
    return 0


def _explain(args: argparse.Namespace) -> int:
    from ..check_ids import KNOWN
    from ..checks.catalogue import get_check

    try:
        check = get_check(args.check_id)
    except UnknownCheckError:
        if args.check_id in KNOWN:
            raise UnknownCheckError(
                f"{args.check_id} is reserved for a provider that this version does not judge"
            ) from None
        raise
    print("\n".join(_explanation(check)))
    return 0


def _explanation(check: Check) -> list[str]:
    waivable = "no policy can waive it" if check.mandatory else "a policy may waive it, with a reason"
    if check.unwaivable:
        waivable += f"; not {', '.join(sorted(check.unwaivable))}"
    facts = {
        "Rests on": check.anchor,
        "Source": check.source,
        "Needs": ", ".join(check.requires) or "no other check",
        "Waivable": waivable,
    }
    lines = [f"{check.id}: {check.title}", "", *textwrap.wrap(check.explanation, 100), ""]
    lines += [f"{name + ':':10} {value}" for name, value in facts.items()]
    lines += ["", "Reasons it can give:"]
    for reason, sentence in check.reasons.items():
        lines += textwrap.wrap(f"{reason:22} {sentence}", 100, initial_indent="  ", subsequent_indent=" " * 25)
    return lines
