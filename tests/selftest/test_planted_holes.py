"""A check that has stopped working is noticed: each of these is made to pass whatever it sees."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from teeverify import appraisal
from teeverify.checks import catalogue
from teeverify.checks.catalogue import Finding, all_checks, passed
from teeverify.claims.subject import Subject
from teeverify.policy import Policy
from teeverify.selftest import Category
from teeverify.verdict import Outcome

from .sessions import direct

HOLES = {
    "channel.tls_spki": ("session / connection's key",),
    "freshness.nonce_bound": ("model / request_nonce", "compose_manager / nonce", "compose_manager / nonce_source"),
    "saved.recorded_at": ("session / recorded_at",),
    "evidence.complete": ("session / model", "session / answer / header x-serving-provider"),
    "binding.signing_key": ("model / signing_algo", "model / signing_public_key"),
    "binding.report_data": ("compose_manager / report_data", "compose_manager / actions_hash"),
    "binding.e2ee_key": ("model / ohttp_attestation / signature", "model / ohttp_key_config"),
    "dstack.event_digests": ("model / event_log[22].digest",),
    "dstack.reported_info": ("model / info / app_id", "model / info / vm_config / os_image_hash"),
    "dstack.key_provider": ("model / info / app_cert / certificate 1", "model / info / key_provider_info / name"),
    "gpu.nonce_bound": ("model / nvidia_payload / evidence_list[0].nonce",),
    "gpu.present": ("model / nvidia_payload / arch",),
    "gpu.nras_token": ("NVIDIA / answer / overall token / claim jti", "NVIDIA / answer / overall token / signature"),
}
"""Check and fields that it alone guards."""


def _blind(subject: Subject, policy: Policy) -> Finding:
    del subject, policy
    return passed("this check looks at nothing")


def _forget_order() -> None:
    all_checks.cache_clear()
    appraisal._prerequisites_first.cache_clear()


@pytest.fixture
def hole(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One check of the catalogue made blind."""
    check_id: str = request.param
    entry = next(check for check in all_checks() if check.id == check_id)
    monkeypatch.setitem(catalogue._REGISTRY, check_id, attrs.evolve(entry, judge=_blind))
    _forget_order()
    yield check_id
    monkeypatch.undo()
    _forget_order()


@pytest.mark.parametrize("check_id", HOLES)
def test_the_field_is_refused_by_the_check_that_is_there(check_id: str) -> None:
    rows = direct().judged(direct().named(*HOLES[check_id])).rows
    refused = [row for row in rows if row.category in (Category.REFUSED, Category.NOT_EVALUATED)]
    assert {f"{row.subject} / {row.field}" for row in refused} == set(HOLES[check_id])
    assert any(check_id in row.checks for row in refused)
    assert not [row for row in rows if row.category is Category.ACCEPTED]


@pytest.mark.parametrize("hole", HOLES, indirect=True)
def test_a_blind_check_is_noticed(hole: str) -> None:
    result = direct().judged(direct().named(*HOLES[hole]))
    assert {f"{row.subject} / {row.field}" for row in result.accepted} == set(HOLES[hole])
    assert result.counts["accepted"] == len(result.accepted)
    for row in result.accepted:
        assert row.outcome is Outcome.VERIFIED
        assert hole in row.checks


@pytest.mark.parametrize("hole", ["binding.signing_key"], indirect=True)
def test_a_key_that_was_not_attested_before_is_never_right(hole: str) -> None:
    """Even where the table lets the field be: a verdict must not vouch for another key."""
    (changed,) = (each for each in direct().named("model / signing_public_key") if each.kind == "changed")
    free = attrs.evolve(changed, unmeasured="somebody put this field into the wrong table")
    (row,) = direct().judged((free,)).rows
    assert (row.category, row.reason) == (Category.ACCEPTED, "other_attested_key")


@pytest.mark.parametrize("hole", ["dstack.rtmr_replay", "gpu.cert_chain"], indirect=True)
def test_what_a_second_check_sees_too_stays_refused(hole: str) -> None:
    names = {
        "dstack.rtmr_replay": "model / info / tcb_info / rtmr1",
        "gpu.cert_chain": "model / nvidia_payload / evidence_list[0].evidence / request / slot",
    }
    (row,) = direct().judged(direct().named(names[hole])).rows
    assert row.category is Category.REFUSED
    assert hole not in row.checks
