"""Every fault of the simulated OpenGradient, over real connections, through the package's transport and verifier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from teeverify.errors import ConfigurationError, TransportError
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import OPENGRADIENT_FAULTS
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, EXCHANGE, TRANSPORT
from teeverify.testing.simulation.faults.transport import TRICKS
from teeverify.verdict import AttestationVerdict, Outcome

from .opengradient_world import attested, chatted, deciding

pytestmark = pytest.mark.loopback

LEVELS: Final = ("attested", "registry+pcr", "registry")
LIES: Final = [
    (level, name)
    for name, fault in OPENGRADIENT_FAULTS.items()
    for level in fault.levels
    if fault.area in (EVIDENCE, CLOCK) and (level != "registry+pcr" or "registry" not in fault.levels)
]
"""The two lower levels differ in the pin of the image alone."""
CHATS: Final = [
    (name, stream)
    for name, fault in OPENGRADIENT_FAULTS.items()
    for stream in (False, True)
    if fault.area == EXCHANGE and fault.stream in (None, stream)
]
OUTAGES: Final = [name for name, fault in OPENGRADIENT_FAULTS.items() if fault.area == TRANSPORT and not fault.error]
SILENT: Final = [name for name, fault in OPENGRADIENT_FAULTS.items() if fault.area == TRANSPORT and fault.error]
ENDLESS: Final = ("stalls", "drips", "endless")
"""Tricks that end with the client's patience only."""


@pytest.fixture(scope="module")
def tees() -> Iterator[dict[str, SimulatedTee]]:
    """One deployment for each level."""
    with ExitStack() as stack:
        yield {level: stack.enter_context(SimulatedTee.opengradient(assurance=level)) for level in LEVELS}


@pytest.fixture
def tee(tees: dict[str, SimulatedTee]) -> SimulatedTee:
    return tees["attested"]


@pytest.fixture(scope="module")
def truth(tees: dict[str, SimulatedTee]) -> AttestationVerdict:
    """The attestation under which answers are judged; it is good for hours."""
    tees["attested"].set_fault(None)
    return attested(tees["attested"]).require()


@pytest.mark.parametrize(("level", "name"), LIES)
def test_what_lies_is_met_by_the_outcome_and_checks_of_the_table(
    tees: dict[str, SimulatedTee], level: str, name: str
) -> None:
    fault = OPENGRADIENT_FAULTS[name]
    tees[level].set_fault(name)
    verdict = attested(tees[level])
    assert verdict.outcome.value == fault.outcome, verdict.conclusion
    assert fault.checks <= deciding(verdict.checks, verdict.outcome), "every check that the table names decides"
    if not verdict.verified:
        assert not any(subject.attested_keys for subject in verdict.subjects)


@pytest.mark.parametrize(("name", "stream"), CHATS)
def test_answers_are_met_by_the_outcome_and_checks_of_the_table(
    tee: SimulatedTee, truth: AttestationVerdict, name: str, stream: bool
) -> None:
    fault = OPENGRADIENT_FAULTS[name]
    tee.set_fault(name)
    times = 2 if name == "replayed-answer" else 1
    if fault.error:
        with pytest.raises(TransportError) as caught:
            chatted(tee, truth, stream=stream)
        assert "simulated" not in str(caught.value), "nothing of an answer is in an error"
        assert "pay" not in str(caught.value)
        return
    chat = chatted(tee, truth, stream=stream, times=times)
    assert chat.verified.outcome.value == fault.outcome, chat.verified.conclusion
    found = deciding(chat.verified.checks, chat.verified.outcome)
    if chat.verified.outcome is Outcome.VERIFIED:
        assert chat.answer is not None
    else:
        assert chat.answer is None, "no unverified word is handed out"
        assert fault.checks <= found, "every check that the table names decides"


@pytest.mark.parametrize("name", OUTAGES)
def test_outages_are_met_by_the_outcome_and_checks_of_the_table(tee: SimulatedTee, name: str) -> None:
    fault = OPENGRADIENT_FAULTS[name]
    tee.set_fault(name)
    with tee.transport(sleep=lambda seconds: None, **_patience(fault.trick)) as transport:
        verdict = attested(tee, transport)
    assert verdict.outcome.value in fault.outcomes, verdict.conclusion
    if not verdict.verified:
        assert deciding(verdict.checks, verdict.outcome) & fault.checks


@pytest.mark.parametrize("name", SILENT)
def test_outages_of_the_relay_bring_no_answer(tee: SimulatedTee, truth: AttestationVerdict, name: str) -> None:
    fault = OPENGRADIENT_FAULTS[name]
    tee.set_fault(name)
    tee.log.forget()
    with tee.transport(sleep=lambda seconds: None, **_patience(fault.trick)) as transport:
        with pytest.raises(TransportError):
            chatted(tee, truth, stream=name < "relay-i", transport=transport)
        asked = [entry for entry in tee.asked if entry.method == "POST"]
        assert len(asked) <= 1, "a sealed request is sent once at most"
        if name in ("relay-status-503", "relay-refuses"):
            assert attested(tee, transport).verified, "the relay has no part in the attestation"


def _patience(trick: str | None) -> dict[str, Any]:
    return {"read_timeout": 0.1, "total_timeout": 0.3} if trick in ENDLESS else {}


def test_the_truth_comes_back(tee: SimulatedTee) -> None:
    with tee.transport(sleep=lambda seconds: None) as transport:
        for name in ("debug-enclave", "nodes-status-503", "keys-null", "node-disagrees", "enclave-resets"):
            tee.set_fault(name)
            assert not attested(tee, transport).verified
            tee.set_fault(None)
            verdict = attested(tee, transport).require()
        tee.set_fault("altered-response-byte")
        assert chatted(tee, verdict, stream=True, transport=transport).answer is None
        tee.set_fault(None)
        assert chatted(tee, verdict, stream=True, transport=transport).answer is not None


def test_nothing_is_sent_to_a_key_that_is_not_attested(tee: SimulatedTee) -> None:
    from teeverify.errors import InconclusiveError, RejectedError

    for name, error in (("swapped-ohttp-key", RejectedError), ("ohttp-unsigned", InconclusiveError)):
        tee.set_fault(name)
        verdict = attested(tee)
        tee.log.forget()
        with pytest.raises(error):
            chatted(tee, verdict, stream=False)
        assert tee.asked == ()


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    groups = ("nodes", "enclave", "relay")
    assert {*OUTAGES, *SILENT} == {f"{group}-{trick}" for group in groups for trick in TRICKS}
    assert {name.partition("-")[0] for name in SILENT} == {"relay"}
    for name, fault in OPENGRADIENT_FAULTS.items():
        assert fault.name == name
        assert fault.description.endswith(".")
        assert "\n" not in fault.description
        assert fault.checks or fault.error or fault.outcomes == ("VERIFIED",)
        assert not (fault.checks and fault.error)
        assert fault.excluded is None
        assert fault.levels


def test_what_a_deployment_can_show() -> None:
    for level in LEVELS:
        names = set(SimulatedTee.opengradient(assurance=level).faults)
        assert names == {name for name, fault in OPENGRADIENT_FAULTS.items() if level in fault.levels}
        alone = set(SimulatedTee.opengradient(assurance=level, nodes=1).faults)
        assert names - alone == {name for name in names if OPENGRADIENT_FAULTS[name].nodes > 1}
        assert "node-disagrees" in names - alone


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-fault", "no fault is called"),
        ("debug-td", "no fault is called"),  # NEAR's
        ("node-disagrees", "needs 2 nodes, and the simulation has 1"),
        ("debug-enclave", "does not show at level 'registry', only at attested"),
    ],
)
def test_a_fault_that_does_not_fit_is_told_at_once(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        SimulatedTee.opengradient(nodes=1, assurance="registry", fault=name)
