"""Every attack on a receipt or a session is refused by the check that should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from teeverify.exchange import Exchange
from teeverify.testing.aci import ACI_HOST, ACI_MODEL, AciSession
from teeverify.testing.aci_defects import RECEIPT_DEFECTS
from teeverify.testing.aci_defects.receipts import FAILED_UPSTREAM
from teeverify.testing.aci_exchange import digest_text, sign_receipt, upstream_session
from teeverify.verdict import VerifiedExchange

from .world import INCONCLUSIVE, REJECTED, Service, build, chat, policy, reasons, verifier

URL: Final = f"https://{ACI_HOST}/v1"
WAIVED: Final = '[[waive]]\ncheck = "exchange.rewrite"\nreason = "the gateway drops its own constraints"\n'


def verify(service: Service, exchange: Exchange, *, more: str = "", **options: Any) -> VerifiedExchange:
    return verifier(policy(more=more), transport=service, url=URL, **options).verify_exchange(exchange)


Edit = Callable[[dict[str, Any]], Any]


def event(place: int, **members: Any) -> Edit:
    """A member of an event changed after the receipt was signed."""
    return lambda receipt: receipt["event_log"][place].update(members)


def resigned(edit: Edit) -> Edit:
    """A change that the gateway's own key signs."""

    def change(receipt: dict[str, Any]) -> dict[str, Any]:
        edit(receipt)
        return sign_receipt(build(), receipt)

    return change


STRANGER: Final = {"exchange.signer_attested": "unknown_signer"}


@pytest.mark.parametrize("name", RECEIPT_DEFECTS)
def test_an_attack_on_a_receipt_or_a_session_is_refused_by_the_check_that_should(name: str) -> None:
    defect = RECEIPT_DEFECTS[name]
    service = Service(serving="aggregator" if defect.aggregator else "direct")
    change: Edit = defect.edit or (lambda receipt: None)
    at = int(build().at.timestamp())
    exchange = chat(
        service,
        edit=resigned(change) if defect.signed else change,
        upstream=None if defect.session is None else defect.session(at),
    )
    if defect.stranger:
        (path,) = (name for name in service.documents if name.startswith("sessions/"))
        service.documents[path] = upstream_session(build(), verifier_id="other/1")[1]
    judged = verify(service, exchange)
    assert (judged.outcome, reasons(judged)) == (REJECTED, defect.findings)
    assert judged.signed_by is None


def test_an_unknown_algorithm_signs_nothing() -> None:
    """Attack 52: the keyset entry decides the algorithm, and one that is not known is ignored."""

    def other_algorithm(session: AciSession) -> None:
        entry = session.keyset()["receipt_signing_keys"][0]
        session.keyset_changes["receipt_signing_keys"] = [{**entry, "algo": "ecdsa-secp256k1"}]
        session.custody.shown = False

    service = Service(other_algorithm)
    waived = '[[waive]]\ncheck = "aci.custody"\nreason = "a test"\n'
    judged = verify(service, chat(service), more=waived)
    assert judged.attestation.verified
    assert reasons(judged) == STRANGER


def test_a_receipt_without_a_model_leaves_it_open() -> None:
    service = Service()
    judged = verify(service, chat(service, model=None))
    assert (judged.outcome, reasons(judged)) == (INCONCLUSIVE, {"exchange.model": "model_not_named"})


def test_a_rewrite_can_be_waived_and_nothing_else_with_it() -> None:
    service = Service(serving="aggregator")
    edit = resigned(event(2, body_hash=digest_text(b"without constraints")))
    assert verify(service, chat(service, edit=edit), more=WAIVED).verified
    assert reasons(verify(service, chat(service, edit=edit))) == {"exchange.rewrite": "rewritten"}


# --- behind an aggregator ---------------------------------------------------------------------------------------------


def test_an_attempt_that_failed_first_does_no_harm() -> None:
    service = Service(serving="aggregator")
    attempt = {"type": "upstream.verified", "required": True, **FAILED_UPSTREAM}
    edit = resigned(lambda r: r["event_log"].insert(1, attempt))
    assert verify(service, chat(service, edit=edit)).verified


@pytest.mark.parametrize("changes", [{"established_at": 1781524798}, {"expires_at": 1781524798}])
def test_the_ends_of_the_window_count(changes: dict[str, int]) -> None:
    service = Service(serving="aggregator")
    assert verify(service, chat(service, upstream=changes)).verified


def test_the_session_must_be_one_that_the_request_pinned() -> None:
    own, _ = upstream_session(build(serving="aggregator"))
    for ids, good in (([own], True), (["00" * 32, own], True), (["00" * 32], False), ([], False), ("x", False)):
        service = Service(serving="aggregator")
        body = json.dumps({"model": ACI_MODEL, "provider": {"aci_session_ids": ids}}).encode()
        judged = verify(service, chat(service, request=body))
        assert judged.verified is good
        assert good or reasons(judged) == {"exchange.upstream": "session_not_accepted"}


def test_a_direct_service_cannot_have_served_a_pinned_session() -> None:
    service = Service()
    body = json.dumps({"model": ACI_MODEL, "provider": {"aci_session_ids": ["00" * 32]}}).encode()
    assert reasons(verify(service, chat(service, request=body))) == {"exchange.upstream": "no_upstream"}


def test_a_session_without_evidence_is_named_as_a_gap() -> None:
    service = Service(serving="aggregator")
    judged = verify(service, chat(service, upstream={"evidence": {}})).require()
    assert any("holds no evidence" in gap for gap in judged.gaps)


def test_who_says_direct_over_an_unproven_connection_is_not_believed() -> None:
    """The word is not in the quote: only the attested connection makes it the gateway's own."""
    waived = '[[waive]]\ncheck = "aci.channel"\nreason = "a test"\n'
    service = Service(lambda session: setattr(session, "peer_spki", build().keys.material("x", 91)))
    judged = verify(service, chat(service), more=waived)
    assert judged.attestation.verified
    assert (judged.outcome, reasons(judged)) == (INCONCLUSIVE, {"exchange.upstream": "serving_unproven"})


def test_a_receipt_of_a_direct_service_that_names_an_upstream_is_judged_as_such() -> None:
    service = Service()
    named = {"type": "upstream.verified", "required": False, **FAILED_UPSTREAM}
    edit = resigned(lambda r: r["event_log"].insert(1, named))
    assert reasons(verify(service, chat(service, edit=edit))) == {"exchange.upstream": "not_required"}
