"""``teeverify dstack verify``: judge the files of a dstack app."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, FormatError, InputError
from .connecting import add_connecting_options, chosen_transport
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
    from ..policy import Policy
    from ..providers.dstack_app import DstackEvidence
    from ..verdict import AttestationVerdict

__all__ = ["add_parser", "run"]

_RAW: Final = (b"\x04\x00\x02\x00", b"\x05\x00\x02\x00")
"""How a quote of version 4 or 5 begins; neither hex nor base64 has such bytes."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``verify`` to the commands of ``teeverify dstack``."""
    verify = commands.add_parser(
        "verify",
        help="judge the files of a dstack app",
        description="Judge what a dstack app shows about itself: its quote, event log and app-compose. They become a "
        "saved report, which is judged like any other. Without --report-data or --nonce nothing shows that the quote "
        "is new, and the verdict is never VERIFIED.",
    )
    files = verify.add_argument_group("files of the app")
    files.add_argument(
        "--quote", metavar="FILE", required=True, help="the quote: bytes, hex, base64 or GetQuote's JSON"
    )
    files.add_argument("--event-log", metavar="FILE", help="the event log (JSON); needed unless GetQuote's JSON has it")
    files.add_argument("--app-compose", metavar="FILE", help="app-compose.json, byte for byte; or --info has it")
    files.add_argument("--vm-config", metavar="FILE", help="vm_config (JSON): the memory size, for pins by ACPI tables")
    files.add_argument("--info", metavar="FILE", help="the guest agent's answer to Info (JSON)")
    verify.add_argument("--name", default="dstack app", metavar="NAME", help="what the verdict calls the app")
    demand = verify.add_mutually_exclusive_group()
    demand.add_argument("--report-data", metavar="HEX", help="what REPORTDATA must be, 64 bytes")
    demand.add_argument("--nonce", metavar="HEX", help="what the second half of REPORTDATA must be, 32 bytes")
    endorsed = verify.add_mutually_exclusive_group()
    endorsed.add_argument("--collateral", metavar="DIR|SAVED.json", help="Intel's answers: a folder or a saved report")
    endorsed.add_argument("--fetch", action="store_true", help="ask Intel now")
    verify.add_argument("--save", metavar="OUT.json", help="write everything as a saved report, whatever the outcome")
    add_time_option(verify)
    add_connecting_options(verify)
    add_judging_options(verify)
    verify.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge and print; returns the exit code of the outcome."""
    if args.policy is None:
        raise ConfigurationError("--policy is missing: there is no policy for every dstack app, so pin yours")
    policy = chosen_policy(args.policy, "dstack")
    evidence = _evidence(args)
    verdict = _fetched(args, policy, evidence) if args.fetch else _offline(args, policy, evidence)
    print(rendered(verdict, args))
    if args.save is not None and verdict.evidence is not None:
        verdict.evidence.save(args.save)
    return exit_code(verdict.outcome)


def _offline(args: argparse.Namespace, policy: Policy, evidence: DstackEvidence) -> AttestationVerdict:
    from attrs import evolve

    from ..providers.dstack_app import DstackVerifier
    from ..saved import SavedReport
    from .bare_report import read_collateral

    now = datetime.now(timezone.utc)
    endorsements, recorded_at = read_collateral(args.collateral)
    report = SavedReport(
        provider="dstack",
        model=args.name,
        nonce=evidence.challenge,
        recorded_at=recorded_at or now,
        exchanges=(evidence.exchange(), *endorsements),
    )
    at = chosen_time(args.at, report, recorded_at is not None)
    refuse_expired_waivers(policy, at)
    # The files claim no time of their own: the one that the caller names is their time.
    return DstackVerifier(policy, roots=chosen_roots(args.test_roots)).verify_saved(
        evolve(report, recorded_at=at), at=at, now=now
    )


def _fetched(args: argparse.Namespace, policy: Policy, evidence: DstackEvidence) -> AttestationVerdict:
    from ..providers.dstack_app import DstackVerifier

    if args.at not in ("recorded", "now"):
        raise ConfigurationError("--at stands beside --fetch, which judges for now: leave one out")
    refuse_expired_waivers(policy, datetime.now(timezone.utc))
    with chosen_transport(args) as transport:
        verifier = DstackVerifier(policy, roots=chosen_roots(args.test_roots), transport=transport)
        return verifier.verify_evidence(evidence, name=args.name)


def _evidence(args: argparse.Namespace) -> DstackEvidence:
    from ..limits import MAX_REPORT_BODY
    from ..providers.dstack_app import DstackEvidence
    from .bare_report import read_file

    quote, beside = _quote(read_file(Path(args.quote), MAX_REPORT_BODY))
    texts = {name: getattr(args, name) for name in ("event_log", "app_compose", "vm_config", "info")}
    found = {name: _text(Path(path)) if path is not None else beside.get(name) for name, path in texts.items()}
    event_log = found.pop("event_log")
    if event_log is None:
        raise ConfigurationError("--event-log is missing, and the file of --quote holds no event log: add it")
    return DstackEvidence(
        quote=quote,
        event_log=event_log,
        **found,
        report_data=_hex("--report-data", args.report_data, 64),
        nonce=_hex("--nonce", args.nonce, 32),
    )


def _quote(data: bytes) -> tuple[bytes, dict[str, str]]:
    """The quote's bytes, and the event log and vm_config that GetQuote gives beside it."""
    from ..formats.encodings import decode_base64, decode_hex
    from ..formats.strict_json import loads
    from ..limits import MAX_QUOTE, MAX_REPORT_BODY

    if data.startswith(_RAW):
        return data, {}
    beside: dict[str, str] = {}
    try:
        text = data.decode("ascii").strip()
        if text.startswith("{"):
            answer = loads(text, what="--quote", limit=MAX_REPORT_BODY)
            beside = {n: answer[n] for n in ("event_log", "vm_config") if isinstance(answer.get(n), str) and answer[n]}
            text = answer.get("quote")
        if not isinstance(text, str):
            raise FormatError("quote_missing", "--quote is a JSON object without a quote")
        text = "".join(text.split()).removeprefix("0x")
        try:
            return decode_hex(text, what="--quote", limit=MAX_QUOTE), beside
        except FormatError:
            return decode_base64(text, what="--quote", limit=MAX_QUOTE), beside
    except (FormatError, UnicodeDecodeError):
        raise InputError("--quote is neither a TDX quote in bytes, hex or base64 nor the answer of GetQuote") from None


def _text(path: Path) -> str:
    from ..limits import MAX_REPORT_BODY
    from .bare_report import read_file

    try:
        return read_file(path, MAX_REPORT_BODY).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"the file {str(path)!r} is not UTF-8, JSON was expected") from None


def _hex(option: str, text: str | None, size: int) -> bytes | None:
    from ..formats.encodings import decode_hex

    try:
        return None if text is None else decode_hex(text, what=option, size=size)
    except FormatError as error:
        raise ConfigurationError(str(error)) from None
