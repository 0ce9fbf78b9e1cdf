"""The captured Chutes sessions, and ways to alter them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import attrs

from captures import capture_path, policy_path
from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict

__all__ = ["altered", "body_of", "judge", "report_of"]


def report_of(name: str) -> SavedReport:
    return SavedReport.load(capture_path(name))


def policy_of(name: str, *, relaxed: bool = False) -> Policy:
    return Policy.load(policy_path(f"{name}.relaxed" if relaxed else name))


def judge(report: SavedReport, name: str, *, relaxed: bool = False) -> AttestationVerdict:
    return ChutesVerifier(policy_of(name, relaxed=relaxed)).verify_saved(report)


def body_of(report: SavedReport, part: str) -> Any:
    return json.loads(next(e.response.body for e in report.exchanges if part in e.request.url))


def altered(report: SavedReport, part: str, edit: Callable[[Any], Any]) -> SavedReport:
    """The report with one JSON answer changed in place, or replaced by what ``edit`` returns."""
    exchanges = []
    for exchange in report.exchanges:
        if part in exchange.request.url:
            value = json.loads(exchange.response.body)
            result = edit(value)
            body = json.dumps(value if result is None else result).encode()
            exchanges.append(attrs.evolve(exchange, response=attrs.evolve(exchange.response, body=body)))
        else:
            exchanges.append(exchange)
    return attrs.evolve(report, exchanges=tuple(exchanges))


def flipped(text: str, place: int) -> str:
    """Base64 with one bit of one byte flipped."""
    data = bytearray(base64.b64decode(text))
    data[place] ^= 1
    return base64.b64encode(bytes(data)).decode()
