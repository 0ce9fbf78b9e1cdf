"""Real captured sessions: a part of their alterations, under the relaxed policies."""

from __future__ import annotations

import pytest

from captures import capture_path, policy_path
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.selftest import Category
from teeverify.selftest.alteration import UNLISTED

from .sessions import FORM, Session


@pytest.mark.parametrize(("name", "least"), [("near-direct-2026-06-29", 450), ("near-cloud-2026-06-29", 600)])
def test_a_part_of_a_capture(name: str, least: int) -> None:
    """Every forty-third alteration; the complete run is a matter of half a minute."""
    report = SavedReport.from_bytes(capture_path(name).read_bytes())
    session = Session(report=report, verifier=NearVerifier(Policy.load(policy_path(name))))
    every = session.altered(lambda each: True)
    assert len(every) >= least
    assert not [each.place for each in every if each.unmeasured == UNLISTED]
    chosen = every[::43]
    for alteration, row in zip(chosen, session.judged(chosen).rows, strict=True):
        assert row.category not in (Category.ACCEPTED, Category.WAIVED), (alteration.name, row.kind)
        if row.category is not Category.UNMEASURED:
            assert (alteration.guards | (FORM if row.kind != "changed" else set())) & set(row.checks), alteration.name


def test_the_key_of_a_capture_without_one() -> None:
    """It was not recorded, so the policy waives the check: a key that is put there is noticed by it, in vain."""
    name = "near-direct-2026-04-24"
    report = SavedReport.from_bytes(capture_path(name).read_bytes())
    verifier = NearVerifier(Policy.load(policy_path(f"{name}.relaxed")))
    session = Session(report=report, verifier=verifier)
    (row,) = session.judged(session.named("session / connection's key")).rows
    assert (row.kind, row.category, row.checks) == ("added", Category.WAIVED, ("channel.tls_spki",))
