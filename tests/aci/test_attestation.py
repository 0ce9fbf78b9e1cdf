"""Verdicts on ACI services: truthful live and saved, what the request asked for, outages and policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Response
from teeverify.policy import Policy
from teeverify.policy_diff import diff
from teeverify.policy_text import to_toml
from teeverify.providers.aci import AciVerifier
from teeverify.registry import verifier_for
from teeverify.testing.aci import ACI_HOST, ACI_MODEL, AciSession
from teeverify.testing.near_world import RECORDED_AT
from teeverify.verdict import Status

from .world import INCONCLUSIVE, REJECTED, Service, build, chat, failing, judge, policy, reasons, verifier

REPORT: Final = "/aci/attestation"
OTHER: Final = bytes(range(100, 132))
MALFORMED: Final = ("evidence.wellformed", "malformed")


@pytest.mark.parametrize("serving", ["direct", "aggregator"])
def test_a_truthful_session_is_verified_live_and_saved(serving: str) -> None:
    service = Service(serving=serving)
    own = verifier(transport=service, url=f"https://{ACI_HOST}", api_key="secret-key")
    verdict = own.verify_attestation(ACI_MODEL).require()
    assert verdict.attested_tls_spki == service.session().gateway.fingerprint
    assert verdict.evidence is not None
    again = verifier().verify_saved(verdict.evidence)
    assert again.verified
    open_ones = [check.id for check in again.checks if check.status is not Status.PASS]
    assert not [name for name in open_ones if name.startswith(("aci.", "tdx.", "tcb.", "dstack.", "binding."))]
    assert b"secret-key" not in verdict.evidence.to_bytes()
    to_service = [r for r in service.asked if ACI_HOST in r.url]
    assert [r.headers.get("Authorization") for r in to_service] == ["Bearer secret-key"]
    assert not any("Authorization" in r.headers for r in service.asked if r not in to_service)
    assert to_service[0].url == f"https://{ACI_HOST}/v1{REPORT}?nonce={verdict.nonce}"


def test_the_keys_of_the_keyset_are_minted() -> None:
    (subject,) = judge(build()).require().subjects
    assert [(key.use, key.key_id) for key in subject.attested_keys] == [
        ("signing", "receipt-1"),
        ("e2ee", "e2ee-1"),
        ("e2ee", "e2ee-2"),
    ]


def test_the_verdict_ends_with_the_keyset() -> None:
    end = RECORDED_AT + timedelta(days=3)
    verdict = judge(AciSession.build()).require()
    session = build()
    session.keyset_changes["not_after"] = int(end.timestamp())
    assert judge(session).require().expires_at == end
    assert verdict.expires_at is not None
    assert verdict.expires_at > end


def test_what_the_verdict_says_is_not_proven() -> None:
    verdict = judge(build()).require()
    assert "what stands behind it is not attested here" in verdict.trust_boundary
    assert any("Nothing in the quote names a model" in gap for gap in verdict.gaps)


def test_legacy_members_beside_the_report_are_ignored() -> None:
    session = build()
    legacy = {"intel_quote": "00", "nvidia_payload": "{}", "signing_address": "0x00", "all_attestations": [{}]}
    session.top_level = {**legacy, "event_log": [], "info": {"tcb_info": {"app_compose": "{}"}}}
    verdict = judge(session).require()
    assert {check.id for check in verdict.checks if check.id.startswith("gpu.")} == {"gpu.present"}


# --- what the request asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?nonce=", "?nonce=null", "?nonce=0x00", "?nonce=NONCE", "?nonce=nonce&model=m"])
def test_only_our_nonce_in_lower_case_counts(query: str) -> None:
    """Attack 49: no nonce, one in upper case, one of another form."""
    document = build().saved()
    request = document["exchanges"][0]["request"]
    text = query.replace("NONCE", build().nonce.hex().upper()).replace("=nonce", f"={build().nonce.hex()}")
    request["url"] = request["url"].partition("?")[0] + text
    verdict = judge(document)
    assert verdict.outcome is REJECTED
    expected = MALFORMED if "model" in query else ("freshness.nonce_bound", "no_client_nonce")
    assert expected in failing(verdict)


def test_the_nonce_of_the_file_is_not_believed() -> None:
    document = build().saved()
    document["nonce"] = OTHER.hex()
    assert ("freshness.nonce_bound", "asked_other_nonce") in failing(judge(document))


def test_a_session_over_http_is_refused() -> None:
    document = build().saved()
    request = document["exchanges"][0]["request"]
    request["url"] = request["url"].replace("https://", "http://")
    assert MALFORMED in failing(judge(document))


def test_rival_answers_leave_open_which_one_counts() -> None:
    document = build().saved()
    rival = build(nonce=OTHER).saved()["exchanges"][0]
    same_url = {**rival, "request": document["exchanges"][0]["request"]}
    for other in (rival, same_url):
        verdict = judge({**document, "exchanges": [*document["exchanges"], other]})
        assert verdict.outcome is REJECTED
        assert MALFORMED in failing(verdict)
    assert judge({**document, "exchanges": [*document["exchanges"], document["exchanges"][0]]}).verified


def test_the_host_that_was_asked_is_that_of_the_url() -> None:
    """A listed key counts for its own domain only, whatever host the report names."""
    session = build()
    session.host = f"other.{ACI_HOST}"
    assert failing(judge(session)) == {("aci.channel", "other_key")}


# --- outages and policies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        (REPORT, TransportError("no route")),
        (REPORT, Response(status=503, headers={}, body=b"")),
        (REPORT, Response(status=200, headers={"content-type": ("text/html",)}, body=b"<html>")),
        ("/tdx/certification/", TransportError("no route")),
        ("pckcrl", Response(status=500, headers={}, body=b"")),
    ],
)
def test_an_outage_is_not_an_attack(part: str, answer: Any) -> None:
    service = Service()
    service.answers[part] = answer
    verdict = verifier(transport=service, url=f"https://{ACI_HOST}/v1").verify_attestation(ACI_MODEL)
    assert verdict.outcome is INCONCLUSIVE


def test_an_attack_during_an_outage_is_an_attack() -> None:
    service = Service(lambda session: setattr(session, "attested_nonce", OTHER))
    service.answers["/tdx/certification/"] = TransportError("no route")
    verdict = verifier(transport=service, url=f"https://{ACI_HOST}/v1").verify_attestation(ACI_MODEL)
    assert verdict.outcome is REJECTED


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a":1,"a":2}', b"\xff", b"[" * 5000])
def test_a_body_that_is_no_report_is_refused(body: bytes) -> None:
    assert judge(build().saved(body)).outcome is REJECTED


def test_a_report_without_a_recorded_key_is_inconclusive() -> None:
    document = build().saved()
    document["exchanges"][0]["response"]["peer_spki"] = None
    verdict = judge(document)
    assert (verdict.outcome, failing(verdict)) == (INCONCLUSIVE, {("aci.channel", "key_not_recorded")})


def test_a_file_without_a_report_is_inconclusive() -> None:
    document = build().saved()
    del document["exchanges"][0]
    assert judge(document).outcome is INCONCLUSIVE


def test_without_pinned_roots_custody_is_open_until_it_is_waived() -> None:
    verdict = judge(build(), policy(custody=False))
    assert (verdict.outcome, failing(verdict)) == (INCONCLUSIVE, {("aci.custody", "not_pinned")})
    waived = '[[waive]]\ncheck = "aci.custody"\nreason = "the root is not published"\n'
    verdict = judge(build(), policy(custody=False, more=waived))
    assert verdict.verified
    assert "nobody vouches for its receipt keys" in verdict.trust_boundary


def test_a_policy_that_demands_gpus_is_not_met_by_silence() -> None:
    rules = policy()
    demanding = attrs.evolve(rules, gpu=attrs.evolve(rules.gpu, require=True))
    assert failing(judge(build(), demanding)) == {("gpu.present", "no_evidence"), ("policy.shape", "no_gpu")}


@pytest.mark.parametrize("check", ["aci.keyset", "aci.expiry", "aci.roles"])
def test_what_nobody_may_waive(check: str) -> None:
    with pytest.raises(ConfigurationError, match="mandatory"):
        policy(more=f'[[waive]]\ncheck = "{check}"\nreason = "a test"\n')


@pytest.mark.parametrize("pins", [f'signing_keys = ["{"11" * 32}"]', f'tls_spki = ["{"11" * 32}"]'])
def test_pins_that_nothing_would_enforce_are_refused(pins: str) -> None:
    assert failing(judge(build(), policy(pins=pins))) == {("policy.pinned", "unenforced_pin")}


@pytest.mark.parametrize("root", ["04" + "11" * 32, "02" + "11" * 31, "02" + "11" * 64])
def test_a_custody_root_is_a_compressed_key(root: str) -> None:
    with pytest.raises(ConfigurationError, match="custody_roots"):
        policy(custody=False, pins=f'custody_roots = ["{root}"]')


def test_custody_roots_are_part_of_the_digest_and_survive_toml() -> None:
    assert Policy.from_toml(to_toml(policy())).digest == policy().digest
    assert policy().digest != policy(custody=False).digest
    (change,) = diff(policy(), policy(custody=False))
    assert (change.direction, change.key) == ("looser", "pins.gateway.custody_roots")


@pytest.mark.parametrize("url", ["http://h.example", "https://", "https://u@h.example", "https://h.example/a?b", "h"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError):
        verifier(url=url)


def test_live_use_needs_a_url() -> None:
    with pytest.raises(ConfigurationError, match="pass url"):
        verifier(transport=Service()).verify_attestation(ACI_MODEL)


def test_the_registry_knows_it() -> None:
    assert verifier_for("aci") is AciVerifier


def test_a_policy_that_pins_a_model_as_well_is_not_met_by_the_gateway_alone() -> None:
    rules = policy()
    both = attrs.evolve(rules, pins={**rules.pins, "model": attrs.evolve(rules.pins["gateway"], custody_roots=None)})
    assert failing(judge(build(), both)) == {("policy.shape", "other_shape")}


def test_a_verdict_out_of_a_file_is_known_as_one() -> None:
    service = Service(serving="aggregator")
    held = verifier(transport=service, url=f"https://{ACI_HOST}").verify_attestation(ACI_MODEL).require()
    assert held.evidence is not None
    assert not held.recorded
    assert verifier().verify_saved(held.evidence).recorded


def test_direct_out_of_a_file_is_nobodys_word() -> None:
    """Only a live connection makes "direct" the service's own word, whoever asks for the receipt afterwards."""
    service = Service(serving="direct")
    own = verifier(transport=service, url=f"https://{ACI_HOST}")
    held = own.verify_attestation(ACI_MODEL).require()
    assert held.evidence is not None
    exchange = chat(service)
    judged = own.verify_exchange(exchange, attestation=verifier().verify_saved(held.evidence))
    assert reasons(judged) == {"exchange.upstream": "serving_unproven"}
    assert own.verify_exchange(exchange, attestation=held).verified
