"""Every fault of the simulated ACI services, over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, Final

import pytest

from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import ACI_FAULTS
from teeverify.testing.simulation.fault import TRANSPORT
from teeverify.testing.simulation.faults.aci import REDPILL_ACI_FAULTS

from .front_world import asked, attested, deciding, meets

pytestmark = pytest.mark.loopback

LIES: Final = [name for name, fault in ACI_FAULTS.items() if fault.area != TRANSPORT]
BROKEN: Final = ("refuses", "certificate-foreign-ca", "status-401", "status-503", "invalid-json", "html-page", "resets")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a receipt that does not come."""
    monkeypatch.setattr("teeverify.signed_exchange._DELAYS", (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """Services by what they serve; each is started once."""
    with ExitStack() as stack:

        @cache
        def start(serving: str) -> SimulatedTee:
            redpill = serving == "redpill"
            tee = SimulatedTee.phala(shape="aci") if redpill else SimulatedTee.aci(serving=serving)
            return stack.enter_context(tee)

        yield start


@pytest.mark.parametrize("name", LIES)
def test_what_lies_is_met_by_the_outcome_and_checks_of_the_table(running: Any, name: str) -> None:
    fault = ACI_FAULTS[name]
    streams = (True,) if fault.streamed else (False, True) if name == "altered-response-byte" else (False,)
    meets(running(fault.serving or "direct"), fault, streams)


@pytest.mark.parametrize("name", [name for name in LIES if name.startswith("answers-in-") or name == "swapped-key"])
def test_the_same_of_redpills_own_gateway(running: Any, name: str) -> None:
    meets(running("redpill"), REDPILL_ACI_FAULTS[name])


@pytest.mark.parametrize("name", [f"{group}-{trick}" for group in ("provider", "intel") for trick in BROKEN])
def test_broken_servers(running: Any, name: str) -> None:
    tee, fault = running("direct"), ACI_FAULTS[name]
    tee.set_fault(name)
    verdict = asked(tee)
    assert verdict.outcome.value in fault.outcomes, deciding(verdict)
    assert deciding(verdict) & fault.checks, deciding(verdict)


def test_the_truth_comes_back(running: Any) -> None:
    tee = running("direct")
    for name in ("debug-td", "provider-status-503", "other-tls-key"):
        tee.set_fault(name)
        assert not asked(tee).verified
        tee.set_fault(None)
        attested(tee)


def test_no_attack_is_forgotten() -> None:
    assert {fault.number for fault in ACI_FAULTS.values()} == {0, *range(48, 54), 55}
    assert not any(name.startswith("nvidia-") for name in ACI_FAULTS), "no GPU shows evidence"
