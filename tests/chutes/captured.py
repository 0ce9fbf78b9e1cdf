"""The captured Chutes sessions, and ways to alter them."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from typing import Any, Final

import attrs

from captures import capture_path, policy_path
from teeverify.policy import Policy
from teeverify.policy_toml import to_toml
from teeverify.providers.chutes import ChutesVerifier
from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict, SubjectVerdict

__all__ = [
    "JUNE", "MAY", "alone", "altered", "answered", "body_of", "deciding_ids", "endorsed", "flipped", "judge", "keys_of",
    "lenient_of", "policy_of", "report_of", "subject_of", "verifier_of",
]  # fmt: skip

JUNE: Final = "chutes-2026-06-29"
MAY: Final = "chutes-2026-05-20"
_WITH_THE_OTHER_FAMILY: Final = {JUNE: "near-cloud-2026-06-29", MAY: "near-cloud-2026-04-24"}
"""Captures of NEAR that hold Intel's TCB info on the platform family that the Chutes captures lack."""


def report_of(name: str) -> SavedReport:
    return SavedReport.load(capture_path(name))


def policy_of(name: str, *, relaxed: bool = False) -> Policy:
    return Policy.load(policy_path(f"{name}.relaxed" if relaxed else name))


def judge(report: SavedReport, name: str, *, relaxed: bool = False) -> AttestationVerdict:
    return ChutesVerifier(policy_of(name, relaxed=relaxed)).verify_saved(report)


@functools.cache
def verifier_of(name: str, *, relaxed: bool) -> ChutesVerifier:
    """A verifier under the capture's strict or relaxed policy."""
    return ChutesVerifier(policy_of(name, relaxed=relaxed))


@functools.cache
def lenient_of(name: str) -> ChutesVerifier:
    """A verifier that demands every instance, and takes Intel's evaluation of that April, the month before."""
    text = to_toml(policy_of(name))
    assert "min_eval_number = 19" in text
    return ChutesVerifier(Policy.from_toml(text.replace("min_eval_number = 19", "min_eval_number = 18")))


@functools.cache
def alone(name: str, instance: str) -> SavedReport:
    """The capture with only the instance whose id begins like that, which takes less time to judge."""
    report = report_of(name)
    for part, member in (("/e2e/instances/", "instances"), ("/evidence?", "evidence")):
        report = altered(report, part, functools.partial(_kept, member, instance))
    return report


def _kept(member: str, instance: str, body: Any) -> Any:
    return {**body, member: [each for each in body[member] if each["instance_id"].startswith(instance)]}


@functools.cache
def endorsed(name: str) -> SavedReport:
    """The capture with TCB info on the second platform family, so that every instance is VERIFIED."""
    other = report_of(_WITH_THE_OTHER_FAMILY[name])
    report, extra = report_of(name), [each for each in other.exchanges if "tcb?fmspc=b0c06f" in each.request.url]
    return attrs.evolve(report, exchanges=(*report.exchanges, extra[0]))


def answered(report: SavedReport, part: str, **changes: Any) -> SavedReport:
    """The report with members of one recorded answer changed."""
    return attrs.evolve(
        report,
        exchanges=tuple(
            attrs.evolve(each, response=attrs.evolve(each.response, **changes)) if part in each.request.url else each
            for each in report.exchanges
        ),
    )


def subject_of(verdict: AttestationVerdict, name: str) -> SubjectVerdict:
    """The subject of the instance whose id begins like that."""
    return next(subject for subject in verdict.subjects if subject.id.startswith(f"instance:{name}"))


def deciding_ids(subject: SubjectVerdict) -> set[str]:
    """Ids of the checks that keep a subject from being VERIFIED, without those that wait for others."""
    return {check.id for check in subject.deciding if not check.reason.startswith("prerequisite_")}


def keys_of(verdict: AttestationVerdict) -> dict[str, set[str]]:
    """The attested keys (hex) of each subject; without any unless the verdict is VERIFIED."""
    return {subject.id: {key.public_key for key in subject.attested_keys} for subject in verdict.subjects}


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
