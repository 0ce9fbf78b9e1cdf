"""Receipts: what is accepted, refresh, outages and the offline audit."""

from __future__ import annotations

from typing import Any, Final

import attrs
import pytest

from teeverify.errors import ConfigurationError, TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Response
from teeverify.saved import SavedReport
from teeverify.testing.aci import ACI_HOST, ACI_MODEL
from teeverify.verdict import Status, VerifiedExchange

from .world import INCONCLUSIVE, REJECTED, REQUEST, Service, build, chat, load, policy, reasons, verifier

URL: Final = f"https://{ACI_HOST}/v1"


def verify(service: Service, exchange: Exchange, *, more: str = "", **options: Any) -> VerifiedExchange:
    return verifier(policy(more=more), transport=service, url=URL, **options).verify_exchange(exchange)


@pytest.mark.parametrize("serving", ["direct", "aggregator"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_exchange_with_its_receipt_is_verified(serving: str, stream: bool) -> None:
    service = Service(serving=serving)
    exchange = attrs.evolve(chat(service, stream=stream), peer_spki=service.session().gateway.tls_spki)
    judged = verify(service, exchange, api_key="secret-key").require()
    assert (judged.signed_by, judged.signer) == ("gateway", service.session().gateway.signing.ed25519_public.hex())
    assert "nothing shows that a model machine produced it" in judged.trust_boundary
    statuses = {check.id: check.status for check in judged.checks}
    open_ones = {name for name, status in statuses.items() if status is not Status.PASS}
    assert open_ones == ({"exchange.upstream"} if serving == "direct" else set())
    asked = [r for r in service.asked if "/receipts/" in r.url or "/sessions/" in r.url]
    assert len(asked) == (1 if serving == "direct" else 2)
    assert {r.headers["Authorization"] for r in asked} == {"Bearer secret-key"}
    assert any("tee_attested is asserted (hardware_proven)" in gap for gap in judged.gaps) is (serving != "direct")
    assert judged.evidence is not None
    again = verifier().verify_saved_exchange(SavedReport.from_bytes(judged.evidence.to_bytes()))
    # That a service has no upstream is its own word over a connection, and a file has no connection.
    assert again.verified is (serving != "direct")
    assert reasons(again) == ({"exchange.upstream": "serving_unproven"} if serving == "direct" else {})


def test_the_receipt_is_asked_for_by_the_name_in_the_header() -> None:
    service = Service()
    exchange = chat(service)
    service.documents["receipts/rcpt-chatcmpl-1"] = service.documents.pop("receipts/chatcmpl-1")
    named = attrs.evolve(exchange, receipt_id="rcpt-chatcmpl-1")
    judged = verify(service, named).require()
    assert service.urls("/receipts/") == [f"{URL}/aci/receipts/rcpt-chatcmpl-1"]
    assert judged.evidence is not None
    saved = SavedReport.from_bytes(judged.evidence.to_bytes())
    assert saved.exchange is not None
    assert saved.exchange.receipt_id == "rcpt-chatcmpl-1"
    assert reasons(verifier().verify_saved_exchange(saved)) == {"exchange.upstream": "serving_unproven"}


@pytest.mark.parametrize("name", ["", "a\nb", 5])
def test_a_receipt_id_is_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="receipt_id"):
        Exchange(model=ACI_MODEL, request_body=b"", response_body=b"", receipt_id=name)


def test_the_policy_has_to_take_the_gateways_word() -> None:
    service = Service()
    strict = attrs.evolve(policy(), exchange=attrs.evolve(policy().exchange, signed_by="model"))
    judged = verifier(strict, transport=service, url=URL).verify_exchange(chat(service))
    assert reasons(judged) == {"exchange.signer_attested": "gateway_signature"}


def test_every_byte_of_request_and_response_counts() -> None:
    service = Service()
    own = verifier(transport=service, url=URL)
    exchange = chat(service, stream=True)
    attestation = own.verify_attestation(ACI_MODEL).require()
    for name, check in (("request_body", "request_digest"), ("response_body", "response_digest")):
        body = getattr(exchange, name)
        for place in range(0, len(body), 5):
            flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            changes: dict[str, Any] = {name: flipped, "chat_id": "chatcmpl-1"}
            judged = own.verify_exchange(attrs.evolve(exchange, **changes), attestation=attestation)
            assert judged.outcome is REJECTED
            assert f"exchange.{check}" in reasons(judged)
    assert own.verify_exchange(exchange, attestation=attestation).verified
    replayed = own.verify_exchange(exchange, attestation=attestation)
    assert reasons(replayed) == {"exchange.first_seen": "replayed"}


# --- connection, refresh, outages -------------------------------------------------------------------------------------


def test_an_exchange_over_another_connection_is_refused() -> None:
    service = Service()
    exchange = attrs.evolve(chat(service), peer_spki=b"another key")
    assert reasons(verify(service, exchange)) == {"exchange.channel": "other_key"}


def test_a_new_keyset_is_attested_once_more() -> None:
    service = Service()
    own = verifier(transport=service, url=URL)
    held = own.verify_attestation(ACI_MODEL).require()
    service.spoil = lambda session: session.keyset_changes.update(not_after=1782000000)
    judged = own.verify_exchange(chat(service), attestation=held).require()
    assert judged.attestation is not held
    assert len(service.urls("/aci/attestation")) == 2
    assert len(service.urls("/aci/receipts/")) == 1
    assert judged.evidence is not None
    assert reasons(verifier().verify_saved_exchange(judged.evidence)) == {"exchange.upstream": "serving_unproven"}


def test_a_rejected_service_vouches_for_nothing() -> None:
    service = Service(lambda session: session.keyset_changes.update(not_after=1))
    judged = verify(service, chat(service))
    assert judged.outcome is REJECTED
    assert reasons(judged)["exchange.signer_attested"] == "attestation_rejected"


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("/receipts/", TransportError("no route")),
        ("/receipts/", Response(status=401, headers={}, body=b"{}")),
        ("/receipts/", Response(status=404, headers={}, body=b"{}")),
        ("/receipts/", Response(status=200, headers={}, body=b"<html>")),
        ("/sessions/", TransportError("no route")),
        ("/sessions/", Response(status=404, headers={}, body=b"{}")),
        ("/sessions/", Response(status=200, headers={}, body=b"")),
        ("/tdx/certification/", TransportError("no route")),
    ],
)
def test_an_outage_is_inconclusive(part: str, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teeverify.signed_exchange._DELAYS", (0.0, 0.0))
    service = Service(serving="aggregator")
    service.answers[part] = answer
    assert verify(service, chat(service)).outcome is INCONCLUSIVE


def test_a_receipt_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teeverify.signed_exchange._DELAYS", (0.0, 0.0, 0.0))
    service = Service()
    exchange = chat(service)
    late = service.documents.pop("receipts/chatcmpl-1")

    class Late(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            return late if len(service.urls("/receipts/")) > 1 else None

    service.documents = Late()
    assert verify(service, exchange).verified
    assert len(service.urls("/receipts/")) == 2


def test_the_key_goes_to_the_named_service_only() -> None:
    """An attestation out of a file may name any host; what is asked there carries no key."""
    session = build()
    session.host = f"evil.{ACI_HOST}"
    own_host = Service()
    own = verifier(transport=own_host, url=URL, api_key="secret-key")
    foreign = verifier().verify_saved(load(session.saved()))
    own.verify_exchange(chat(own_host), attestation=foreign)
    asked = [request for request in own_host.asked if "evil." in request.url]
    assert asked
    assert not any("Authorization" in request.headers for request in asked)


def test_a_file_without_a_receipt_is_inconclusive() -> None:
    exchange = Exchange(model=ACI_MODEL, request_body=REQUEST, response_body=b'{"id":"chatcmpl-1"}')
    judged = verifier().verify_saved_exchange(load(build().saved()), exchange)
    assert judged.outcome is INCONCLUSIVE


def test_without_any_id_nothing_is_asked() -> None:
    service = Service()
    exchange = Exchange(model=ACI_MODEL, request_body=REQUEST, response_body=b"{}")
    judged = verify(service, exchange)
    assert judged.outcome is REJECTED
    assert reasons(judged) == {"exchange.first_seen": "no_chat_id"}
    assert service.urls("/receipts/") == []
