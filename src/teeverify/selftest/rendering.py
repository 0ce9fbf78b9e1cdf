"""A self-test's result as text for people and as one JSON document, schema ``teeverify.selftest/v1``.

Nothing of the report but the names of its fields is shown.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar

from ..render.text import printable
from ..saved import format_time
from ..verdict import AttestationVerdict
from .judging import Category, Row, SelftestResult

__all__ = ["ALARM", "SCHEMA", "to_json", "to_line", "to_text", "untouched_to_json"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

SCHEMA: Final = "teeverify.selftest/v1"
ALARM: Final = (
    "teeverify: AN ALTERED REPORT WAS ACCEPTED although the field is signed or pinned. Do not trust a VERIFIED of this "
    "version, and please report it as SECURITY.md says"
)
"""What is said where any row is `Category.ACCEPTED`."""

_ID_WIDTH: Final = 26
_OUTCOME_WIDTH: Final = 12
_SHOWN: Final = 4
"""Rows of one field with the same outcome and check that are shown one by one; more are counted."""


def to_line(result: SelftestResult) -> str:
    """The decisive line alone."""
    counts = result.counts
    waived = f"{counts['waived']} that only waived checks refuse, " if counts["waived"] else ""
    return (
        f"{len(result.rows)} alterations: {counts['refused']} REJECTED, {counts['not_evaluated']} INCONCLUSIVE, "
        f"{waived}{counts['unmeasured']} on which no check depends, "
        f"{counts['accepted']} accepted though they should not be"
    )


def to_text(result: SelftestResult, *, width: int = 100) -> str:
    """The whole result: by subject what was refused and by which check, then what was not; the decisive line last.

    Args:
        result: what to show.
        width: columns of the terminal; at least 80 are used.
    """
    columns = max(width, 80)
    lines = [*_wrap("The report as it is: ", result.untouched.conclusion, columns), ""]
    refused = [row for row in result.rows if row.category in (Category.REFUSED, Category.NOT_EVALUATED)]
    for subject, rows in _grouped(refused, lambda row: row.subject):
        lines += [printable(subject), *_refusals(rows, columns), ""]
    lines += _section(
        "Only checks that the policy waives refuse these",
        [(", ".join(row.checks), row) for row in result.rows if row.category is Category.WAIVED],
        columns,
    )
    lines += _section(
        "VERIFIED all the same, because no check depends on it",
        [(row.why, row) for row in result.rows if row.category is Category.UNMEASURED],
        columns,
    )
    lines += _section(
        "ACCEPTED THOUGH IT SHOULD NOT BE; one of the checks named should have refused",
        [(", ".join(row.checks), row) for row in result.accepted],
        columns,
    )
    if result.left_out:
        names = ", ".join(printable(subject) for subject in result.left_out)
        lines += [*_wrap("Not altered, since they are not VERIFIED as they are: ", names, columns), ""]
    return "\n".join([*lines, to_line(result)])


def to_json(result: SelftestResult) -> str:
    """The result as JSON text: ASCII only, two spaces of indentation."""
    document = {
        **_head(result.untouched, result.report_digest),
        **({"left_out": list(result.left_out)} if result.left_out else {}),
        "counts": {"alterations": len(result.rows), **result.counts},
        "rows": [_row(row) for row in result.rows],
    }
    return json.dumps(document, indent=2)


def untouched_to_json(untouched: AttestationVerdict, report_digest: str) -> str:
    """The same document where the untouched report is not VERIFIED: no counts and no rows."""
    return json.dumps({**_head(untouched, report_digest), "counts": None, "rows": []}, indent=2)


def _head(untouched: AttestationVerdict, report_digest: str) -> dict[str, Any]:
    document = {
        "schema": SCHEMA,
        "provider": untouched.provider,
        "model": untouched.model,
        "report_digest": report_digest,
        "policy_digest": untouched.policy_digest,
        "evaluated_at": format_time(untouched.evaluated_at),
        "untouched": {"outcome": untouched.outcome.value, "conclusion": untouched.conclusion},
    }
    return {**document, "test_roots": True} if untouched.test_roots else document


def _row(row: Row) -> dict[str, Any]:
    return {
        "subject": row.subject,
        "field": row.field,
        "kind": row.kind,
        "outcome": row.outcome.value,
        "category": row.category.value,
        "checks": list(row.checks),
        "reason": row.reason,
        "why": row.why,
    }


def _refusals(rows: Sequence[Row], columns: int) -> list[str]:
    """Lines of one subject: rows of one field that the same check refuses stand together, many are counted."""
    lines: list[str] = []
    for field, own in _grouped(rows, lambda row: _head_of(row.field)):
        for words, alike in _grouped(own, lambda row: (row.outcome.value, *row.checks[:1])):
            outcome, check = (*words, "no check at all")[:2]
            first = f"  {outcome:{_OUTCOME_WIDTH}}  {check:{_ID_WIDTH}} "
            texts = [f"{row.field} ({row.kind})" for row in alike]
            if len(alike) > _SHOWN:
                parts = list(dict.fromkeys(row.field.removeprefix(field).strip(" /") or row.kind for row in alike))
                shown = parts if len(parts) <= _SHOWN else [*parts[:2], "...", parts[-1]]
                texts = [f"{field}: {len(alike)} alterations ({', '.join(shown)})"]
            for text in texts:
                lines += _wrap(first, text, columns)
    return lines


def _section(title: str, rows: Sequence[tuple[str, Row]], columns: int) -> list[str]:
    """Rows under the sentence that they share, each by its full name."""
    if not rows:
        return []
    lines = [title]
    for sentence, group in _grouped(rows, lambda pair: pair[0]):
        names = "; ".join(f"{row.subject} / {row.field} ({row.kind})" for _, row in group)
        lines += [*_wrap("  - ", sentence, columns), *_wrap("      ", names, columns)]
    return [*lines, ""]


def _head_of(field: str) -> str:
    """The member or part that a field belongs to: ``intel_quote`` of ``intel_quote / TD report / MRTD``."""
    return re.split(r" / |\[", field, maxsplit=1)[0]


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> list[tuple[K, list[T]]]:
    """Items with equal keys together, in the order in which the keys first occur."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def _wrap(first: str, text: str, columns: int) -> list[str]:
    indent = " " * (len(first) if len(first) < columns // 2 else 4)
    return textwrap.wrap(
        printable(text), columns, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]
