"""Whole verdicts on simulated dstack apps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from teeverify.policy import Policy
from teeverify.providers.dstack_app import DstackVerifier
from teeverify.saved import SavedReport
from teeverify.testing import DstackApp, dstack_policy, trust_roots
from teeverify.verdict import AttestationVerdict, Outcome, Status

FORM = {"evidence.wellformed", "evidence.complete"}


def report_of(app: DstackApp, files: Mapping[str, Any] | None = None, *, query: str | None = None) -> SavedReport:
    return SavedReport.from_bytes(json.dumps(app.saved(files, query=query)).encode())


def judged(report: SavedReport, policy: Policy) -> AttestationVerdict:
    return DstackVerifier(policy, roots=trust_roots()).verify_saved(report)


def judge(app: DstackApp, files: Mapping[str, Any] | None = None, *, query: str | None = None) -> AttestationVerdict:
    """The verdict under the policy that pins exactly this app."""
    return judged(report_of(app, files, query=query), Policy.from_toml(dstack_policy(app)))


def failing(verdict: AttestationVerdict) -> set[str]:
    """Checks that fail, of a verdict that is REJECTED; empty for one that is VERIFIED."""
    found = {check.id for subject in verdict.subjects for check in subject.checks if check.status is Status.FAIL}
    assert verdict.outcome is (Outcome.REJECTED if found else Outcome.VERIFIED)
    return found


def reason(verdict: AttestationVerdict, check_id: str) -> str:
    return next(check.reason for check in verdict.subjects[0].checks if check.id == check_id)
