"""Every fault that the simulation knows, through the real transport and the real verifier, over loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from teeverify.errors import TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Request
from teeverify.providers.near import NearVerifier
from teeverify.requests_transport import RequestsTransport
from teeverify.testing.simulation import SimulatedTee
from teeverify.testing.simulation.fault import EXCHANGE, TRANSPORT
from teeverify.testing.simulation.faults import FAULTS
from teeverify.verdict import AttestationVerdict, Outcome, VerifiedExchange

pytestmark = pytest.mark.loopback


def _named(area: str, *, cloud: bool) -> list[str]:
    shown = (entry for entry in FAULTS.items() if entry[1].misfit(cloud=cloud, gpus=2, backends=2) is None)
    return [name for name, fault in shown if fault.area == area]


_EVIDENCE: Final = [name for name, fault in FAULTS.items() if fault.area not in (TRANSPORT, EXCHANGE)]
OWN: Final = [name for name in _EVIDENCE if not FAULTS[name].lean]
SAMPLE: Final = [name for name in _EVIDENCE if FAULTS[name].lean and FAULTS[name].excluded is None][::10]
"""Defects that tests/testing judges offline, all of them; here a sample shows that they are the same live."""


@pytest.fixture(scope="module", params=[True, False], ids=["cloud", "direct"])
def tee(request: pytest.FixtureRequest) -> Iterator[SimulatedTee]:
    with SimulatedTee.near(cloud=request.param, backends=2) as running:
        yield running


@pytest.fixture
def transport(tee: SimulatedTee) -> Iterator[RequestsTransport]:
    with tee.transport(sleep=lambda seconds: None) as made:
        yield made


@pytest.fixture
def impatient(tee: SimulatedTee) -> Iterator[RequestsTransport]:
    with tee.transport(read_timeout=0.3, total_timeout=1.0, sleep=lambda seconds: None) as made:
        yield made


def verifier(tee: SimulatedTee, transport: RequestsTransport) -> NearVerifier:
    return NearVerifier(tee.policy, roots=tee.roots, transport=transport, api_key=tee.api_key)


def chat(tee: SimulatedTee, *, stream: bool = False, pins: dict[str, bytes] | None = None) -> Exchange:
    """A chat over a connection of its own: a POST on a kept one may meet the very moment when it is closed."""
    body = json.dumps({"model": tee.model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).encode()
    url = f"{tee.origins[0]}/v1/chat/completions"
    with tee.transport(pins=pins) as transport:
        response = transport.send(Request(method="POST", url=url, body=body, limit=1 << 20))
    return Exchange(model=tee.model, request_body=body, response_body=response.body, peer_spki=response.peer_spki)


def deciding(judged: AttestationVerdict | VerifiedExchange) -> set[str]:
    return {check.id for check in judged.checks if check.decides is judged.outcome}


def expect(judged: AttestationVerdict | VerifiedExchange, name: str) -> None:
    fault = FAULTS[name]
    assert judged.outcome.value in fault.outcomes, f"{judged.outcome} {deciding(judged)}"
    if judged.outcome is not Outcome.VERIFIED and fault.checks:
        assert deciding(judged) & fault.checks, deciding(judged)


@pytest.mark.parametrize("name", sorted({*_named(TRANSPORT, cloud=True), *_named(TRANSPORT, cloud=False)}))
def test_outages_are_never_a_pass_and_never_held_as_one(
    tee: SimulatedTee, transport: RequestsTransport, impatient: RequestsTransport, name: str
) -> None:
    if FAULTS[name].group != "provider" and not tee.origins[0].startswith("https://cloud-api"):
        pytest.skip("Intel and NVIDIA are the same in both shapes")
    judge = verifier(tee, impatient)
    tee.set_fault(name)
    try:
        first = judge.verify_attestation(tee.model)
        expect(first, name)
        held = judge.held_attestation(tee.model)
        assert held is None or held.verified is (first.outcome is Outcome.VERIFIED)
        if not first.verified:
            assert first.checks[0].summary
            assert "Traceback" not in first.conclusion
    finally:
        tee.set_fault(None)
    assert verifier(tee, transport).verify_attestation(tee.model).verified  # and the truth is found again at once


@pytest.mark.parametrize("name", OWN + SAMPLE)
def test_evidence_that_lies_is_refused_by_its_check(tee: SimulatedTee, transport: RequestsTransport, name: str) -> None:
    fault = FAULTS[name]
    if name not in tee.faults or (fault.only_backend is not None and tee.origins[0].startswith("https://cloud-api")):
        pytest.skip("this deployment cannot show it")
    tee.set_fault(name)
    judge = NearVerifier(
        tee.policy,
        roots=tee.roots,
        transport=transport,
        api_key=tee.api_key,
        algorithm=fault.algorithm or "ed25519",
    )
    hosts = judge.backends(tee.model) if fault.only_backend is not None else ()
    try:
        verdict = judge.verify_attestation(tee.model)
        verdicts = [judge.at_host(host).verify_attestation(tee.model) for host in hosts] or [verdict]
    finally:
        tee.set_fault(None)
    expect(verdicts[fault.only_backend or 0], name)
    assert all(one.verified for index, one in enumerate(verdicts) if index != (fault.only_backend or 0))


@pytest.mark.parametrize("name", sorted({*_named(EXCHANGE, cloud=True), *_named(EXCHANGE, cloud=False)}))
def test_exchanges_that_lie_are_refused_by_their_check(
    tee: SimulatedTee, transport: RequestsTransport, name: str
) -> None:
    if name not in tee.faults:
        pytest.skip("this deployment cannot show it")
    judge = verifier(tee, transport)
    attestation = judge.verify_attestation(tee.model).require()
    streams = [True] if FAULTS[name].streamed or name == "signature-never" else [False, True]
    for stream in streams:
        before = judge.verify_exchange(chat(tee, stream=stream), attestation=attestation)
        assert before.verified
        tee.set_fault(name)
        try:
            if name == "replayed-chat":  # there has to be an answer to be served again
                judge.verify_exchange(chat(tee, stream=stream), attestation=attestation).require()
            judged = judge.verify_exchange(chat(tee, stream=stream), attestation=attestation)
        finally:
            tee.set_fault(None)
        expect(judged, name)


def test_a_pinned_transport_sends_nothing_to_another_key(tee: SimulatedTee, transport: RequestsTransport) -> None:
    spki = verifier(tee, transport).verify_attestation(tee.model).require().attested_tls_spki
    assert spki is not None
    tee.set_fault("other-tls-key")
    asked = len(tee.asked)
    try:
        with pytest.raises(TransportError, match="TLS key"):
            chat(tee, pins={tee.origins[0]: spki})
    finally:
        tee.set_fault(None)
    assert len(tee.asked) == asked
