"""A synthetic session, judged."""

import copy
import json
from typing import Any

from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import NearSession, PolicyText, near_policy, trust_roots
from teeverify.verdict import AttestationVerdict

Document = dict[str, Any]


def session(*, cloud: bool = False, gpus: int = 1, copies: bool = False) -> NearSession:
    return NearSession.build(cloud=cloud, gpus=gpus, copies=copies)


def judge(made: NearSession, document: Document | None = None, **policy: Any) -> AttestationVerdict:
    """The verdict on a saved document (the session's own by default) under the session's policy with changes."""
    report = SavedReport.from_bytes(json.dumps(document if document is not None else made.saved()).encode())
    return verifier(made, **policy).verify_saved(report)


def verifier(made: NearSession, **policy: Any) -> NearVerifier:
    text = near_policy(made, PolicyText(**{"name": "adversary", "min_count": len(made.gpus), **policy}))
    return NearVerifier(Policy.from_toml(text), roots=trust_roots())


def with_report(made: NearSession, **members: Any) -> Document:
    """The session's saved document with members of its report replaced."""
    return made.saved({**copy.deepcopy(made.report()), **members})


def deciding(verdict: AttestationVerdict) -> set[str]:
    return {check.id for check in verdict.checks if check.decides is verdict.outcome}
