"""What the real captures hold, found by form and not by provider."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from captures import NEAR_CAPTURES, capture_path, captures_folder
from teeverify.claims.dstack import DstackClaims
from teeverify.claims.problem import Problem
from teeverify.flow import Response
from teeverify.formats.tdx_quote import TdReport
from teeverify.providers.near import NearVerifier
from teeverify.roots import PRODUCTION_ROOTS
from teeverify.saved import RecordedExchange, SavedReport

_HEX_QUOTE = re.compile(rb"0[45]000200810000000000000093[0-9a-f]{8000,}")
_BASE64_QUOTE = re.compile(rb"BAACAIEA[A-Za-z0-9+/]{6000,}={0,2}")


@frozen(kw_only=True)
class Guest:
    """A dstack guest of a NEAR capture: what its quote reports, and its record."""

    where: str
    report: TdReport
    dstack: DstackClaims


@functools.cache
def quotes() -> tuple[bytes, ...]:
    """Every distinct TDX quote of the captures."""
    found: dict[bytes, None] = {}
    for body in _bodies(captures_folder()):
        for match in _HEX_QUOTE.findall(body):
            found[bytes.fromhex(match.decode()[: len(match) // 2 * 2])] = None
        for match in _BASE64_QUOTE.findall(body):
            found[base64.b64decode(match)] = None
    return tuple(found)


def intel_answers(part: str) -> list[tuple[datetime, Response]]:
    """The recorded answers whose URL holds ``part``, with the time at which they were recorded."""
    return [
        (report.recorded_at, exchange.response)
        for report in _reports(captures_folder())
        for exchange in report.exchanges
        if part in exchange.request.url and exchange.response.status == 200
    ]


@functools.cache
def guests() -> tuple[Guest, ...]:
    """Every dstack guest of the NEAR captures."""
    found: list[Guest] = []
    for name in NEAR_CAPTURES:
        report = SavedReport.load(capture_path(name))
        at = report.recorded_at
        for subject in NearVerifier.subjects_of_saved(report, roots=PRODUCTION_ROOTS, at=at, wall_clock=at):
            assert subject.tdx is not None
            assert subject.dstack is not None
            quote = subject.tdx.quote
            assert not isinstance(quote, Problem)
            found.append(Guest(where=f"{name}/{subject.id}", report=quote.report, dstack=subject.dstack))
    return tuple(found)


@functools.cache
def _reports(folder: Path) -> tuple[SavedReport, ...]:
    return tuple(SavedReport.load(path) for path in sorted(folder.glob("*.json")))


def _bodies(folder: Path) -> Iterator[bytes]:
    for report in _reports(folder):
        for exchange in report.exchanges:
            yield _flat(exchange)


def _flat(exchange: RecordedExchange) -> bytes:
    """The body with the escapes of JSON undone, so that a quote inside a string stands there in one piece."""
    try:
        document: Any = json.loads(exchange.response.body)
    except ValueError:
        return exchange.response.body
    return json.dumps(document).replace("\\/", "/").encode()
