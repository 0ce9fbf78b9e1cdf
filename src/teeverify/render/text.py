"""A verdict as text for people: words first, colour only on top of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from ..verdict import AttestationVerdict, CheckResult, Status, SubjectVerdict, VerifiedExchange

__all__ = ["checks_text", "printable", "to_line", "to_text"]

_WORDS: Final = {
    Status.PASS: "pass",
    Status.FAIL: "FAIL",
    Status.UNEVALUATED: "not evaluated",
    Status.NOT_APPLICABLE: "not applicable",
    Status.INFO: "note",
}
_COLOURS: Final = {"pass": 32, "VERIFIED": 32, "FAIL": 31, "REJECTED": 31, "not evaluated": 33, "INCONCLUSIVE": 33}
_WORD_WIDTH: Final = max(len(word) for word in _WORDS.values())
_ID_WIDTH: Final = 26


def to_text(verdict: AttestationVerdict | VerifiedExchange, *, width: int = 100, colour: bool = False) -> str:
    """The whole verdict, grouped by subject, the decisive line last; of an exchange also its attestation's line.

    Args:
        verdict: what to show.
        width: columns of the terminal; at least 60 are used.
        colour: whether to add ANSI colours to status words.
    """
    columns = max(width, 60)
    if isinstance(verdict, VerifiedExchange):
        lines = _exchange(verdict, columns, colour)
    else:
        lines = [printable(f"{verdict.provider}  {verdict.model}  nonce {verdict.nonce[:16]}..."), ""]
        for subject in verdict.subjects:
            lines += _subject(subject, columns, colour)
    lines += _paragraph("Trust boundary", verdict.trust_boundary, columns)
    for gap in verdict.gaps:
        lines += _paragraph("Not proven", gap, columns)
    lines += ["", to_line(verdict, colour=colour)]
    return "\n".join(lines)


def to_line(verdict: AttestationVerdict | VerifiedExchange, *, colour: bool = False) -> str:
    """The decisive line alone; it begins with VERIFIED, REJECTED or INCONCLUSIVE."""
    word = verdict.outcome.value
    return _paint(word, word, colour) + printable(verdict.conclusion).removeprefix(word)


def checks_text(results: Iterable[CheckResult], *, width: int = 100, colour: bool = False) -> str:
    """Findings alone, without a verdict, as `to_text` shows them."""
    return "\n".join(line for result in results for line in _check(result, max(width, 60), colour))


def printable(text: str) -> str:
    """The text with control characters spelled out, since evidence may try to steer the reader's terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _exchange(verdict: VerifiedExchange, columns: int, colour: bool) -> list[str]:
    attestation = verdict.attestation
    lines = [printable(f"{attestation.provider}  {verdict.model}  chat {verdict.chat_id}"), ""]
    lines += _wrap("attestation: ", printable(attestation.conclusion), columns)
    lines += [f"exchange: {_paint(verdict.outcome.value, verdict.outcome.value, colour)}"]
    for check in verdict.checks:
        lines += _check(check, columns, colour)
    return [*lines, ""]


def _subject(subject: SubjectVerdict, columns: int, colour: bool) -> list[str]:
    outcome = subject.outcome.value
    lines = [f"{printable(subject.id)}: {_paint(outcome, outcome, colour)}"]
    for check in subject.checks:
        if check.status is not Status.NOT_APPLICABLE:
            lines += _check(check, columns, colour)
    skipped = sum(check.status is Status.NOT_APPLICABLE for check in subject.checks)
    if skipped:
        lines.append(f"  {'':{_WORD_WIDTH}}  {skipped} more checks do not apply here")
    for key in subject.attested_keys:
        shown = key.public_key if key.use != "ohttp" else f"{key.public_key[:32]}..."
        lines += _wrap(f"  {'key':{_WORD_WIDTH}}  ", f"{key.use} {key.algorithm} {shown or key.address}", columns)
    return [*lines, ""]


def _check(check: CheckResult, columns: int, colour: bool) -> list[str]:
    word = _WORDS[check.status]
    first = f"  {word:{_WORD_WIDTH}}  {check.id:{_ID_WIDTH}} "
    lines = _wrap(first, printable(check.summary), columns)
    if check.status is Status.FAIL:
        for name, value in (("expected", check.expected), ("observed", check.observed)):
            if value is not None:
                lines += _wrap(" " * len(first) + f"{name} ", printable(value), columns)
    lines[0] = lines[0].replace(word, _paint(word, word, colour), 1)
    return lines


def _paragraph(title: str, text: str, columns: int) -> list[str]:
    return _wrap(f"{title}: ", printable(text), columns)


def _wrap(first: str, text: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    ) or [first.rstrip()]


def _paint(word: str, text: str, colour: bool) -> str:
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code is not None else text
