"""``teeverify exchange``: judge one request and response of a saved report, without any network."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
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
    from ..exchange import Exchange

__all__ = ["add_parsers", "run"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``exchange``."""
    exchange = commands.add_parser(
        "exchange",
        help="judge one signed request and response offline",
        description="Judge whether a request and its response passed through the attested machine unchanged. The "
        "saved report must hold the provider's signature; the bytes are those that it holds, or the files given.",
    )
    exchange.add_argument("saved", metavar="SAVED.json", help="a saved report (version 1)")
    exchange.add_argument("--request", metavar="FILE", help="the exact bytes of the request's body")
    exchange.add_argument("--response", metavar="FILE", help="the exact bytes of the response's body")
    exchange.add_argument("--chat-id", metavar="ID", help="the completion's id (default: read from the response)")
    add_time_option(exchange)
    add_judging_options(exchange)
    exchange.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge and print; returns the exit code of the outcome."""
    from ..registry import verifier_for
    from ..saved import SavedReport
    from ..signed_exchange import SignedExchangeVerifier

    report = SavedReport.load(args.saved)
    kind = verifier_for(report.provider)
    if not issubclass(kind, SignedExchangeVerifier):
        raise ConfigurationError(f"provider {report.provider!r} signs no exchanges that could be verified")
    policy, roots = chosen_policy(args.policy, report.provider), chosen_roots(args.test_roots)
    at = chosen_time(args.at, report, recorded=True)
    refuse_expired_waivers(policy, at)
    exchange = _given(args, report.model)
    judged = kind(policy, roots=roots).verify_saved_exchange(report, exchange, at=at, now=datetime.now(timezone.utc))
    print(rendered(judged, args))
    return exit_code(judged.outcome)


def _given(args: argparse.Namespace, model: str) -> Exchange | None:
    """The exchange of --request and --response, None where neither is given."""
    from ..exchange import Exchange

    if args.request is None and args.response is None:
        if args.chat_id is not None:
            raise ConfigurationError("--chat-id goes with --request and --response: give both files")
        return None
    if args.request is None or args.response is None:
        raise ConfigurationError("--request and --response belong together: give both files")
    return Exchange(
        model=model, request_body=_read(args.request), response_body=_read(args.response), chat_id=args.chat_id
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path!r} cannot be read: {reason}") from None
