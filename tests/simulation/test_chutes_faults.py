"""Every fault of the simulated Chutes, over real connections, through the package's transport and its verifier."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

import pytest

from teeverify.errors import ConfigurationError
from teeverify.policy import Policy
from teeverify.testing import SimulatedTee
from teeverify.testing.chutes_defects import CHUTES_DEFECTS
from teeverify.testing.simulation import CHUTES_FAULTS
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, TRANSPORT
from teeverify.testing.simulation.faults.transport import TRICKS
from teeverify.verdict import Outcome

from .chutes_world import attested, deciding

pytestmark = pytest.mark.loopback

LIES: Final = [name for name, fault in CHUTES_FAULTS.items() if fault.area != TRANSPORT]
OUTAGES: Final = [name for name, fault in CHUTES_FAULTS.items() if fault.area == TRANSPORT]
ENDLESS: Final = ("stalls", "drips", "endless")
"""Tricks that end with the client's patience only."""
ASKED_FOR: Final = (
    "swapped-key",
    "replayed-nonce",
    "ids-swapped",
    "certificate-replaced",
    "certificate-missing",
    "certificate-hashed-as-pkcs1",
    "debug-td",
    "debug-td-byte-0",
    "other-image",
    "mixed-row-mrtd",
    "mixed-row-rtmr1",
    "rtmr3-zero",
    "td-config-id-set",
    "gpu-missing",
    "gpu-one-fewer",
    "gpu-same-twice",
    "gpu-other-nonce",
    "gpu-of-other-instance",
    "bad-gpu",
    "gpu-foreign-root",
    "nras-other-nonce",
    "nras-refuses",
    "token-unsigned",
    "id-of-two",
    "same-quote",
    "same-key",
    "evidence-without-key",
    "key-without-evidence",
    "instance-failed",
    "evidence-body-nulls",
    "keys-body-nulls",
    "model-two-chutes",
    "model-part-of-a-name",
    "old-tcb",
    "revoked-pck",
    "clock-ahead",
)


@pytest.fixture(scope="module")
def tee() -> Iterator[SimulatedTee]:
    with SimulatedTee.chutes(gpus=2) as running:
        yield running


@pytest.fixture(scope="module")
def small() -> Iterator[SimulatedTee]:
    """One GPU each, for the many faults that need no more."""
    with SimulatedTee.chutes(gpus=1) as running:
        yield running


@pytest.fixture(scope="module")
def smallest() -> Iterator[SimulatedTee]:
    """One instance: a broken server is the same for any number."""
    with SimulatedTee.chutes(instances=1, gpus=1) as running:
        yield running


@pytest.mark.parametrize("name", LIES)
def test_what_lies_is_met_by_the_outcome_and_checks_of_the_table(
    tee: SimulatedTee, small: SimulatedTee, name: str
) -> None:
    fault = CHUTES_FAULTS[name]
    running = small if fault.gpus == 1 else tee
    running.set_fault(name)
    verdict = attested(running)
    assert verdict.outcome.value == fault.outcome, verdict.conclusion
    assert fault.checks <= deciding(verdict), "every check that the table names decides"
    if not verdict.verified:
        assert not any(subject.attested_keys for subject in verdict.subjects)


@pytest.mark.parametrize("name", OUTAGES)
def test_outages_are_met_by_the_outcome_and_checks_of_the_table(smallest: SimulatedTee, name: str) -> None:
    fault = CHUTES_FAULTS[name]
    smallest.set_fault(name)
    patience = {"read_timeout": 0.2, "total_timeout": 0.5} if fault.trick in ENDLESS else {}
    with smallest.transport(sleep=lambda seconds: None, **patience) as transport:
        verdict = attested(smallest, transport)
    assert verdict.outcome.value in fault.outcomes, f"{verdict.outcome} {deciding(verdict)}"
    if not verdict.verified:
        assert deciding(verdict) & fault.checks, deciding(verdict)


def test_the_truth_comes_back(small: SimulatedTee) -> None:
    with small.transport(sleep=lambda seconds: None) as transport:
        for name in ("debug-td", "provider-status-503", "evidence-body-null", "nras-other-nonce", "models-resets"):
            small.set_fault(name)
            assert not attested(small, transport).verified
            small.set_fault(None)
            assert attested(small, transport).require().verified


@pytest.mark.parametrize("name", ["swapped-key", "bad-gpu", "key-without-evidence"])
def test_a_bad_instance_does_not_hide_behind_good_ones(name: str) -> None:
    """Under mode any the good ones count, each for itself; their keys come out, and the bad one's does not."""
    with SimulatedTee.chutes(instances=3, gpus=1, fault=name) as tee:
        relaxed = Policy.from_toml(tee.policy_text_with(mode="any"))
        strict, verdict = attested(tee), attested(tee, policy=relaxed)
        tee.set_fault(None)
        truth = attested(tee, policy=relaxed).require()
    assert not strict.verified
    assert verdict.require().verified
    good = {subject.id: subject.attested_keys for subject in verdict.subjects if subject.verified}
    assert len(good) == 2
    assert good == {subject.id: subject.attested_keys for subject in truth.subjects if subject.id in good}
    bad = [subject for subject in verdict.subjects if subject.id not in good]
    assert not any(subject.attested_keys for subject in bad)


def test_a_swapped_key_is_shown_and_not_attested(small: SimulatedTee) -> None:
    small.set_fault(None)
    before = {key.public_key for subject in attested(small).require().subjects for key in subject.attested_keys}
    assert len(before) == 2
    assert all(len(base64.b16decode(key, casefold=True)) == 1184 for key in before)
    small.set_fault("swapped-key")
    verdict = attested(small)
    assert verdict.outcome is Outcome.REJECTED
    assert not [key for subject in verdict.subjects for key in subject.attested_keys]


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    assert set(ASKED_FOR) <= set(CHUTES_FAULTS)
    groups = ("models", "provider", "intel", "nvidia")
    assert set(OUTAGES) == {f"{group}-{trick}" for group in groups for trick in TRICKS}
    for name, defect in CHUTES_DEFECTS.items():
        fault = CHUTES_FAULTS[name]
        assert (fault.outcomes, fault.checks, fault.description) == (defect.outcomes, defect.checks, defect.description)
    for name, fault in CHUTES_FAULTS.items():
        assert fault.name == name
        assert fault.description.endswith(".")
        assert "\n" not in fault.description
        assert fault.checks or fault.outcomes == ("VERIFIED",)
        assert fault.area in (EVIDENCE, CLOCK, TRANSPORT)
        assert fault.excluded is None


def test_what_a_deployment_can_show() -> None:
    assert set(SimulatedTee.chutes().faults) == set(CHUTES_FAULTS)
    alone = set(SimulatedTee.chutes(instances=1, gpus=1).faults)
    left_out = set(CHUTES_FAULTS) - alone
    assert {CHUTES_FAULTS[name].instances > 1 or CHUTES_FAULTS[name].gpus > 1 for name in left_out} == {True}
    assert "ids-swapped" in left_out
    assert "gpu-one-fewer" in left_out


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-fault", "no fault is called"),
        ("wrong-signer", "no fault is called"),  # NEAR's
        ("ids-swapped", "needs 2 instances, and the simulation has 1"),
        ("gpu-one-fewer", "needs 2 GPUs, and the simulation has 1"),
    ],
)
def test_a_fault_that_does_not_fit_is_told_at_once(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        SimulatedTee.chutes(instances=1, gpus=1, fault=name)


@pytest.mark.parametrize("name", ["swapped-key", "bad-gpu", "old-tcb"])
def test_a_single_instance_can_lie(name: str) -> None:
    with SimulatedTee.chutes(instances=1, gpus=1, fault=name) as tee:
        verdict = attested(tee)
    assert verdict.outcome is Outcome.REJECTED
    assert CHUTES_FAULTS[name].checks <= deciding(verdict)
