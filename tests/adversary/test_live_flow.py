"""Flows that are driven badly, transports that do not keep their word, and a directory that lies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from live.provider import MODEL, Provider, live_verifier
from teeverify.aio import AsyncVerifier
from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Request, Response, run
from teeverify.verdict import AttestationVerdict, Outcome

Answers = tuple[Any, ...]
Mistake = Callable[[Answers], Any]


def drive(provider: Provider, mistake: Mistake, *, at: int) -> AttestationVerdict | None:
    """The verdict of a flow whose ``at``-th batch is answered wrongly; None where the flow refused to go on."""
    verifier = live_verifier(provider)
    flow = verifier.attestation_flow(MODEL)
    try:
        batch, step = next(flow), 0
        while True:
            answers: Any = tuple(provider.send(request) for request in batch)
            batch, step = flow.send(mistake(answers) if step == at else answers), step + 1
    except StopIteration as done:
        verdict: AttestationVerdict = done.value
        return verdict
    except (ValueError, TypeError, AttributeError, ConfigurationError):
        return None
    finally:
        flow.close()


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(
    "mistake",
    [
        lambda answers: None,
        lambda answers: (),
        lambda answers: answers[:-1],
        lambda answers: answers + answers,
        lambda answers: tuple(None for _ in answers),
        lambda answers: tuple(ValueError("x") for _ in answers),
        lambda answers: tuple(TransportError("x") for _ in answers),
        lambda answers: (answers[0],) * max(2, len(answers)),
        lambda answers: answers[1:] + answers[:1] if len(answers) > 1 else (),
    ],
    ids=["none", "empty", "fewer", "more", "nothing", "errors", "outages", "the first again", "shifted"],
)
def test_wrong_answers_never_come_to_a_pass(mistake: Mistake, at: int) -> None:
    verdict = drive(Provider(), mistake, at=at)
    assert verdict is None or not verdict.verified


def test_a_flow_that_is_left_or_interrupted_leaves_nothing_behind() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    for thrown in (GeneratorExit, KeyboardInterrupt):
        for steps in range(2):
            flow = verifier.attestation_flow(MODEL)
            batch = next(flow)
            for _ in range(steps):
                batch = flow.send(tuple(provider.send(request) for request in batch))
            with contextlib.suppress(thrown):
                flow.throw(thrown())
            assert next(flow, "ended") == "ended"
    assert len(verifier.cache) == 0
    assert len(verifier.endorsements) == 0
    assert verifier.verify_attestation(MODEL).verified


def test_a_flow_cannot_be_used_twice() -> None:
    provider = Provider()
    flow = live_verifier(provider).attestation_flow(MODEL)
    assert run(flow, provider).verified
    assert run(flow, provider) is None


class _Broken:
    """A transport that gives back something else than a Response."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, request: Request) -> Response:
        found: Response = self.answer
        return found


@pytest.mark.parametrize("answer", [None, b"{}", {"status": 200}, 200, ("a",), object()])
def test_an_answer_that_is_no_response_is_the_callers_error(answer: Any) -> None:
    verifier = live_verifier(Provider())
    verifier._transport = _Broken(answer)
    with pytest.raises(ConfigurationError, match="transport"):
        verifier.verify_attestation(MODEL)
    with pytest.raises(ConfigurationError, match="transport"):
        asyncio.run(AsyncVerifier(verifier).verify_attestation(MODEL))


@pytest.mark.parametrize("name", ["X-SERVING-PROVIDER", "X-Model-Alias-Resolved"])
def test_what_a_header_says_counts_in_any_case(name: str) -> None:
    provider = Provider(cloud=True)
    real = provider._answer
    provider.answers["/attestation/report"] = lambda request: attrs.evolve(real(request), headers={name: ("chutes",)})
    assert live_verifier(provider).verify_attestation(MODEL).outcome is Outcome.REJECTED


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_of_other_kinds_are_bytes(kind: Callable[[bytes], Any]) -> None:
    provider = Provider()
    real = provider._answer

    def answer(request: Request) -> Response:
        found = real(request)
        spki = None if found.peer_spki is None else kind(found.peer_spki)
        return Response(status=found.status, headers=found.headers, body=kind(found.body), peer_spki=spki)

    provider.answers["/attestation/report"] = answer
    verdict = live_verifier(provider).verify_attestation(MODEL).require()
    assert verdict.evidence is not None
    assert all(type(exchange.response.body) is bytes for exchange in verdict.evidence.exchanges)


@pytest.mark.parametrize("spki", [b"", bytes(100_000)])
def test_a_key_that_is_garbage_is_another_key(spki: bytes) -> None:
    provider = Provider()
    real = provider._answer
    provider.answers["/attestation/report"] = lambda request: attrs.evolve(real(request), peer_spki=spki)
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.attested_tls_spki is None


@pytest.mark.parametrize(
    "directory",
    [
        b"[" * 100_000,
        b"null",
        b'"endpoints"',
        b'{"endpoints": {}}',
        b'{"endpoints": [], "endpoints": [{"domain": "x.near.ai", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "x.near.ai", "domain": "y.near.ai", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "x.near.ai\\u0000", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "x.near.ai\\n", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "X.near.ai", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "x.near.ai.", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "\xef\xbd\x98.near.ai", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "xn--x.near.ai", "models": ["MODEL"]}]}',
        b'{"endpoints": [{"domain": "x.near.ai", "models": "MODEL"}]}',
        b'{"endpoints": [{"domain": "x.near.ai", "models": {"MODEL": 1}}]}',
        b'{"endpoints": [{"domain": "x.near.ai", "models": ["MODEL\\u200b"]}]}',
        b'{"endpoints": [{"domain": "x.near.ai", "models": [["MODEL"], null, 1, {}]}]}',
        b'{"endpoints": [{"domain": "%s.near.ai", "models": ["MODEL"]}]}' % (b"a." * 200),
        b" " * (1 << 20) + b"{}",
    ],
)
def test_a_directory_that_lies_leads_nowhere(directory: bytes) -> None:
    provider = Provider()
    provider.answers["/endpoints"] = Response(status=200, headers={}, body=directory.replace(b"MODEL", MODEL.encode()))
    verifier = live_verifier(provider, api_key="secret-key")
    assert verifier.verify_attestation(MODEL).outcome is Outcome.INCONCLUSIVE
    assert {request.url.split("/")[2] for request in provider.asked} == {"completions.near.ai"}
    assert not any("secret-key" in str(dict(request.headers)) for request in provider.asked)


@pytest.mark.parametrize("total", [10**9, 10**30, 65, -1, 1e9, True, "2", None, [2], float("1e300")])
def test_a_count_of_machines_that_cannot_be(total: Any) -> None:
    provider = Provider()
    provider.answers["/backends/count"] = Response(status=200, headers={}, body=json.dumps({"total": total}).encode())
    assert live_verifier(provider).backends(MODEL) == ()
    assert len(provider.asked) == 2
