"""The truthful simulation of OpenGradient: VERIFIED over real connections, at every level, in every shape."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from teeverify.errors import ConfigurationError, TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.opengradient import OpenGradientVerifier
from teeverify.requests_transport import RequestsTransport
from teeverify.roots import PRODUCTION_ROOTS, TrustRoots
from teeverify.saved import SavedReport
from teeverify.testing import SimulatedTee
from teeverify.verdict import Outcome

from .opengradient_world import TOOLS, attested, chatted, deciding, request, verifier

pytestmark = pytest.mark.loopback

NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def tee() -> Iterator[SimulatedTee]:
    """For tests that set no fault."""
    with SimulatedTee.opengradient() as running:
        yield running
        assert running.fault is None


@pytest.mark.parametrize(
    ("level", "nodes"), [("attested", 1), ("attested", 4), ("registry+pcr", 2), ("registry", 1), ("registry", 3)]
)
def test_the_truth_is_verified(level: str, nodes: int) -> None:
    with SimulatedTee.opengradient(assurance=level, nodes=nodes) as tee:
        verdict = attested(tee).require()
        asked = [(entry.method, entry.host, entry.path) for entry in tee.asked]
    assert verdict.test_roots
    assert f"Level {level}:" in verdict.trust_boundary
    assert [subject.role for subject in verdict.subjects] == ["enclave"]
    enclave = [path for _, host, path in asked if host == "192.0.2.7"]
    assert sorted(enclave) == (["/enclave/attestation", "/signing-key"] if level == "attested" else [])
    assert {host for _, host, _ in asked if host != "192.0.2.7"} == {f"rpc-{n}.opengradient.test" for n in
                                                                     range(1, nodes + 1)}  # fmt: skip
    assert len(asked) == 1 + 4 * nodes + (2 if level == "attested" else 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("level", ["attested", "registry"])
def test_a_chat_is_verified_and_saved(level: str, stream: bool, tmp_path: Path) -> None:
    with SimulatedTee.opengradient(assurance=level) as tee:
        verdict = attested(tee)
        chat = chatted(tee, verdict, stream=stream)
        answer = chat.require()
        assert answer.text is not None
        assert answer.text.startswith("This is a simulated answer.")
        assert chat.verified.evidence is not None
        chat.verified.evidence.save(tmp_path / "chat.json")
        text = (tmp_path / "chat.json").read_text()
        assert tee.api_key not in text
        offline = OpenGradientVerifier(tee.policy, roots=tee.roots)
        judged = offline.verify_saved_exchange(SavedReport.load(tmp_path / "chat.json"))
    assert judged.verified is (level == "attested"), "a recorded word of nodes proves nothing"


def test_what_the_relay_sees_is_sealed(tee: SimulatedTee) -> None:
    seen: list[Request] = []

    class Noting(RequestsTransport):
        """Notes what is sent to the relay."""

        def send(self, request: Request) -> Response:
            if request.url.startswith("https://chat-api."):
                seen.append(request)
            return super().send(request)

    with Noting(connect_to=tee.connect_to, ca_file=str(tee.ca_file)) as transport:
        chat = chatted(tee, attested(tee, transport), stream=False, transport=transport)
    (sent,) = seen
    assert b"Hello" in chat.exchange.request_body
    assert sent.body is not None
    assert b"Hello" not in sent.body
    assert b"messages" not in sent.body
    assert {name.lower() for name in sent.headers} == {"content-type", "accept", "x-tee-id", "authorization"}


def test_tool_calls_that_were_offered() -> None:
    with SimulatedTee.opengradient(fault="calls-not-offered") as tee:
        for stream in (False, True):
            chat = chatted(tee, attested(tee), stream=stream, tools=TOOLS)
            answer = chat.require()
            assert [call.name for call in answer.tool_calls] == ["get_weather"]
            assert answer.text is None


def test_two_chats_alike_are_two_answers(tee: SimulatedTee) -> None:
    chat = chatted(tee, attested(tee), stream=False, times=3)
    assert chat.verified.outcome is Outcome.VERIFIED


def test_the_relay_wants_its_token_and_nobody_else_gets_it(tee: SimulatedTee) -> None:
    verdict = attested(tee)
    with tee.transport(api_keys={}) as transport:
        asking = verifier(tee, transport)
        for token in (None, "another"):
            with pytest.raises(TransportError, match="401"):
                asking.chat(request(tee, stream=False), model=tee.model, attestation=verdict, token=token)
        assert (
            asking.chat(
                request(tee, stream=False), model=tee.model, attestation=verdict, token=tee.api_key
            ).verified.outcome
            is Outcome.VERIFIED
        )


def test_the_enclave_makes_its_own_certificate(tee: SimulatedTee) -> None:
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(tee.address))  # names no host, as for an IP address
    assert b"AWS Nitro enclave application" in der
    verdict = attested(tee).require()
    assert verdict.attested_tls_spki is None
    assert verdict.evidence is not None
    own = [entry for entry in verdict.evidence.exchanges if "192.0.2.7" in entry.request.url]
    assert [entry.response.peer_spki for entry in own] == [None, None], "an unverified connection tells no key"
    (document,) = [entry.response.body for entry in own if "/enclave/attestation" in entry.request.url]
    assert hashlib.sha256(der).digest() in base64.b64decode(document)


def test_by_place_and_by_id(tee: SimulatedTee) -> None:
    without_chain = Policy.from_toml(tee.policy_text_with(contract=False))
    assert tee.enclave is not None
    verdict = attested(tee, policy=without_chain, nodes=(), enclave=tee.enclave).require()
    (key,) = [key for key in verdict.subjects[0].attested_keys if key.use == "signing"]
    assert attested(tee, tee_id=bytes.fromhex(key.address)).require().verified
    other = attested(tee, tee_id=bytes(32))
    assert other.outcome is Outcome.INCONCLUSIVE
    assert "registry.entry" in deciding(other.checks, other.outcome)
    assert attested(tee, enclave="https://192.0.2.8").outcome is Outcome.INCONCLUSIVE


def test_a_saved_attested_session_is_judged_offline(tee: SimulatedTee, tmp_path: Path) -> None:
    verdict = attested(tee)
    assert verdict.evidence is not None
    verdict.evidence.save(tmp_path / "session.json")
    report = SavedReport.load(tmp_path / "session.json")
    offline = OpenGradientVerifier(tee.policy, roots=tee.roots).verify_saved(report)
    assert offline.require().subjects[0].attested_keys == verdict.subjects[0].attested_keys
    later = OpenGradientVerifier(tee.policy, roots=tee.roots).verify_saved(
        report, at=report.recorded_at + timedelta(days=1)
    )
    assert not later.verified


def test_nobody_else_accepts_it(tee: SimulatedTee) -> None:
    with tee.transport() as transport:
        genuine = OpenGradientVerifier(tee.policy, roots=PRODUCTION_ROOTS, nodes=tee.nodes, transport=transport)
        verdict = genuine.verify_attestation(tee.model)
    assert verdict.outcome is Outcome.REJECTED
    assert "nitro.cert_chain" in deciding(verdict.checks, verdict.outcome)


def test_a_clock_that_goes_on() -> None:
    now = [NOON]
    with SimulatedTee.opengradient(at=lambda: now[0]) as tee:
        for step in (timedelta(seconds=1), timedelta(seconds=90), timedelta(days=40), timedelta(microseconds=1)):
            verdict = attested(tee).require()
            assert chatted(tee, verdict, stream=True).answer is not None
            now[0] += step
        first = attested(tee).require().subjects[0].attested_keys
        assert first == verdict.subjects[0].attested_keys, "the enclave's keys live as long as the enclave"


def test_many_clients_at_once(tee: SimulatedTee) -> None:
    barrier = threading.Barrier(4)

    def client(_: int) -> bool:
        barrier.wait(20)
        return chatted(tee, attested(tee), stream=True).answer is not None

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(client, range(4)))
    assert tee.log.most_at_once > 1


@pytest.mark.parametrize(
    "settings", [{"nodes": 0}, {"nodes": 5}, {"assurance": "full"}, {"latency": -1.0}, {"port": 70_000}]
)
def test_settings_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SimulatedTee.opengradient(**settings).start()  # type: ignore[arg-type]


def test_what_is_written_is_what_it_is_judged_by(tee: SimulatedTee, tmp_path: Path) -> None:
    tee.write(tmp_path / "files")
    assert TrustRoots.from_directory(tmp_path / "files" / "roots") == tee.roots
    policy = Policy.load(tmp_path / "files" / "policy.toml")
    assert policy.digest == tee.policy.digest
    assert (policy.provider, policy.name, policy.registry.quorum) == ("opengradient", "opengradient-simulated", 2)
    assert tee.hosts == (*(f"rpc-{n}.opengradient.test/" for n in (1, 2)), "192.0.2.7", "chat-api.opengradient.ai")


def test_an_exchange_of_the_caller_is_judged(tee: SimulatedTee) -> None:
    """Who does his own encryption hands over the plaintexts."""
    verdict = attested(tee)
    chat = chatted(tee, verdict, stream=False)
    with tee.transport() as transport:
        again = verifier(tee, transport)
        exchange = Exchange(
            model=tee.model, request_body=chat.exchange.request_body, response_body=chat.exchange.response_body
        )
        assert again.verify_exchange(exchange, attestation=verdict).verified
        altered = json.loads(exchange.response_body)
        altered["choices"][0]["message"]["content"] += "."
        other = Exchange(
            model=tee.model, request_body=exchange.request_body, response_body=json.dumps(altered).encode()
        )
        assert again.verify_exchange(other, attestation=verdict).outcome is Outcome.REJECTED
