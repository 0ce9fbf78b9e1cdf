"""Every fault of the simulated fronts, over real connections, through the package's transport and its verifiers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, Final

import pytest

from teeverify.errors import ConfigurationError
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import front_faults
from teeverify.testing.simulation.fault import EVIDENCE, TRANSPORT
from teeverify.testing.simulation.faults.transport import TRICKS
from teeverify.testing.simulation.fronts.fault import FrontFault
from teeverify.verdict import Outcome

from .front_world import MAKERS, asked, attested, deciding, meets

pytestmark = pytest.mark.loopback

FRONTS: Final = (
    ("phala", "dstack"),
    ("phala", "near"),
    ("phala", "chutes"),
    ("vllm-proxy", "dstack"),
    ("venice", "dstack"),
)
EVERYWHERE: Final = ("replayed-nonce", "debug-td", "revoked-pck", "altered-response-byte", "wrong-signer")
ENDLESS: Final = ("stalls", "drips", "endless")
PROVABLE: Final = {*range(1, 10), 10, 12, 13, 14, 15, *range(16, 36), 38, 39, 41, 42, 43, 44, 46, 55, 56}
"""Attacks that a server can show to a client of a dstack machine."""


def lies(provider: str, shape: str) -> list[FrontFault]:
    return [fault for fault in front_faults(provider, shape).values() if fault.area != TRANSPORT]


def rows() -> Iterator[tuple[str, str, str]]:
    """All faults of RedPill's machines; of every other deployment those that are new, and a few that all have."""
    known: set[Any] = set()
    for provider, shape in FRONTS:
        for fault in lies(provider, shape):
            index = fault.name if fault.area != EVIDENCE else (fault.name, shape)
            if index not in known or fault.name in EVERYWHERE:
                yield provider, shape, fault.name
            known.add(index)


ROWS: Final = tuple(rows())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a signature that does not come."""
    monkeypatch.setattr("teeverify.signed_exchange._DELAYS", (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """Simulations by provider, shape and number of GPUs; each is started once."""
    with ExitStack() as stack:

        @cache
        def start(provider: str, shape: str, gpus: int, instances: int = 1) -> SimulatedTee:
            more: dict[str, Any] = {"shape": shape} if provider in ("phala", "nanogpt") else {}
            if shape == "chutes":
                more["instances"] = instances
            return stack.enter_context(MAKERS[provider](gpus=gpus, **more))

        yield start


@pytest.mark.parametrize(("provider", "shape", "name"), ROWS)
def test_what_lies_is_met_by_the_outcome_and_checks_of_the_table(
    running: Any, provider: str, shape: str, name: str
) -> None:
    fault = front_faults(provider, shape)[name]
    streams = (False, True) if fault.streamed is None else (fault.streamed,)
    if name not in ("altered-response-byte", "key-renewed", "replayed-chat", "answer-sorted"):
        streams = streams[-1:]
    meets(running(provider, shape, fault.gpus, fault.instances), fault, streams)


@pytest.mark.parametrize("name", [f"provider-{trick}" for trick in TRICKS])
def test_broken_servers_are_met_by_the_outcome_and_checks_of_the_table(running: Any, name: str) -> None:
    tee = running("vllm-proxy", "dstack", 1)
    fault = tee.explained_faults[name]
    tee.set_fault(name)
    patience: dict[str, Any] = {"read_timeout": 0.2, "total_timeout": 0.5} if fault.trick in ENDLESS else {}
    verdict = asked(tee, **patience)
    assert verdict.outcome.value in fault.outcomes, deciding(verdict)
    if not verdict.verified:
        assert deciding(verdict) & fault.checks, deciding(verdict)


@pytest.mark.parametrize("name", ["intel-status-503", "nvidia-resets", "intel-invalid-json", "nvidia-refuses"])
def test_broken_endorsers(running: Any, name: str) -> None:
    tee = running("phala", "dstack", 1)
    tee.set_fault(name)
    verdict, fault = asked(tee), tee.explained_faults[name]
    assert verdict.outcome.value in fault.outcomes
    assert deciding(verdict) & fault.checks


def test_the_truth_comes_back(running: Any) -> None:
    tee = running("phala", "dstack", 1)
    for name in ("debug-td", "provider-status-503", "report-deep", "nras-refuses", "answers-in-shape-chutes"):
        tee.set_fault(name)
        assert asked(tee).outcome is not Outcome.VERIFIED
        tee.set_fault(None)
        attested(tee)


def test_no_attack_is_forgotten() -> None:
    """Attack 11 is a client's own; 36, 37, 40, 45, 47 and 54 no server can show; the rest is ACI's."""
    shown = {fault.number for fault in (*lies("vllm-proxy", "dstack"), *lies("venice", "dstack"))}
    assert shown - {0} == PROVABLE


def test_every_fault_is_explained() -> None:
    for provider, shape in (*FRONTS, ("nanogpt", "dstack"), ("nanogpt", "near"), ("nanogpt", "chutes")):
        for name, fault in front_faults(provider, shape).items():
            assert (fault.name, fault.description[-1]) == (name, ".")
            assert bool(fault.checks) or fault.outcome == "VERIFIED"


@pytest.mark.parametrize(
    ("make", "name", "sentence"),
    [
        (SimulatedTee.phala, "gpu-one-fewer", "it needs 2 GPUs"),
        (lambda fault: SimulatedTee.vllm_proxy(tls_bound=False, fault=fault), "other-tls-key", "binds its TLS key"),
        (SimulatedTee.phala, "fingerprint-removed", "no fault is called"),
        (SimulatedTee.venice, "altered-request", "no fault is called"),
        (SimulatedTee.aci, "session-other", "it shows where serving is 'aggregator'"),
    ],
)
def test_what_a_deployment_cannot_show(make: Any, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make(fault=name)


def test_a_client_that_asks_for_the_padded_form_is_told_so() -> None:
    from .raw_client import RawClient

    with (
        SimulatedTee.vllm_proxy(fault="fingerprint-removed") as tee,
        RawClient(tee, "vllm-proxy.test.invalid") as client,
    ):
        got = client.get(f"/v1/attestation/report?model={tee.model}&nonce={'ab' * 32}")
        assert got.status == 409
        assert "version=2" in got.json()["error"]["message"]
