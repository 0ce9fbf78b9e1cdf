"""Attacks and failures that a verifier of NEAR AI must refuse, one test each, on real sessions or simulated ones.

The numbers are those of a list of failure modes, drawn up from NEAR's protocol and from what other verifiers got
wrong. What concerns live connections, responses and encryption is not here: a saved attestation session has none of it.
"""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from captures import NEAR_CAPTURES
from teeverify.verdict import AttestationVerdict, Outcome

from .attacks import DIRECT, ROWS, Row, events, rename
from .tampering import deciding_ids, session_of
from .test_fixtures import judge as judge_fixture

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

SIMULATED: Final = {
    11: ("compose-manager-quote-as-model-quote", "digest-posing-as-address"),
    18: ("td-debug", "td-reserved-attribute", "td-xfam-odd"),
    19: ("quote-tee-type-sgx", "quote-header-reserved", "quote-outer-type"),
    20: ("quote-signature-flipped", "quote-foreign-pki", "quote-root-replaced", "pck-revoked"),
    21: ("tcb-out-of-date", "tcb-out-of-date-gateway", "qe-configuration-needed"),
    22: ("collateral-expired", "evaluation-number-low", "tcb-info-for-years"),
    23: ("image-of-attacker",),
    26: ("mr-config-tail", "mr-config-zero", "mr-config-version-2"),
    28: ("event-duplicate-before-ready", "event-compose-only-after-ready", "event-identity-in-register-0"),
    31: ("kms-root-other", "app-id-other"),
    35: ("gpu-old-nonce-echo-edited",),
    37: ("token-unsigned", "token-hmac", "token-key-unknown", "key-set-foreign", "token-expired"),
    38: ("token-other-nonce", "result-false"),
    39: ("tokens-swapped", "result-one-gpu-failed"),
    43: ("compose-manager-of-another-td", "compose-manager-nonce-of-server", "actions-edited"),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number} {row.title}")
def test_attack_on_a_genuine_session(row: Row) -> None:
    session = session_of(row.base, NEAR_CAPTURES[row.base])
    _is_refused(session.judge(row.change(session)), row.refused_by, inconclusive=row.number == 13)


def _is_refused(verdict: AttestationVerdict, refused_by: frozenset[str], *, inconclusive: bool) -> None:
    assert verdict.outcome is (Outcome.INCONCLUSIVE if inconclusive else Outcome.REJECTED)
    assert deciding_ids(verdict) & refused_by
    assert not any(subject.attested_keys for subject in verdict.subjects)


@pytest.mark.parametrize(("number", "name"), [(number, name) for number, names in SIMULATED.items() for name in names])
def test_attack_on_a_simulated_session(number: int, name: str) -> None:
    assert number in SIMULATED
    assert judge_fixture(name).outcome is Outcome.REJECTED


def test_21_an_outdated_platform_of_a_genuine_gateway() -> None:
    session = session_of("near-cloud-2026-04-24", "near-cloud-2026-04-24.relaxed")
    strict = attrs.evolve(
        session, policy=attrs.evolve(session.policy, tcb=attrs.evolve(session.policy.tcb, accept=("UpToDate",)))
    )
    verdict = strict.judge(session.report)
    assert deciding_ids(verdict) == {"tcb.status"}
    none = attrs.evolve(
        session, policy=attrs.evolve(session.policy, tcb=attrs.evolve(session.policy.tcb, allow_advisories=()))
    )
    assert deciding_ids(none.judge(session.report)) == {"tcb.advisories"}


def test_53_an_outage_is_not_a_pass() -> None:
    session = session_of(DIRECT, DIRECT)
    for part in ("/attestation/report", "fmspc=", "qe/identity", "pckcrl", "IntelSGXRootCA", "jwks.json"):
        place = session.places(part)[0]
        assert session.judge(session.with_exchange(place, None)).outcome is Outcome.INCONCLUSIVE
    required = attrs.evolve(session.policy, gpu=attrs.evolve(session.policy.gpu, nras="required"))
    silent = session.with_exchange(session.places("/v3/attest/gpu")[0], None)
    assert attrs.evolve(session, policy=required).judge(silent).outcome is Outcome.INCONCLUSIVE


def test_28_identity_event_in_the_place_of_a_firmware_event() -> None:
    """Name and payload of RTMR0-2 are not measured: a reader that searches by name would find an attacker's value."""
    session = session_of(DIRECT, DIRECT)
    report = events(lambda log: rename(log, 0, event="compose-hash", event_payload="ee" * 32))(session)
    assert session.judge(report).outcome is Outcome.REJECTED
