"""ACI reports behind RedPill: the gateway of RedPill itself, judged as AciVerifier judges it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import pytest

from teeverify.policy import Policy
from teeverify.providers.nanogpt import NanoGptVerifier
from teeverify.providers.phala import PhalaVerifier
from teeverify.testing import trust_roots
from teeverify.testing.aci import ACI_MODEL, AciSession, aci_policy
from teeverify.testing.recording import edit_json
from teeverify.verdict import AttestationVerdict, Outcome

from .world import saved

REDPILL: Final = "https://api.redpill.ai/v1/attestation/report"
LEGACY: Final = {"signing_algo": "ecdsa", "intel_quote": "00", "nvidia_payload": "{}", "all_attestations": []}
"""What RedPill injects at the top; it is about something else and never read."""


def _session() -> AciSession:
    session = AciSession.build()
    session.host = "api.redpill.ai"
    key = {"spki_sha256": session.gateway.fingerprint.hex(), "domain": session.host}
    session.keyset_changes["tls_public_keys"] = [key]
    return session


def _document(session: AciSession, *, model: str = ACI_MODEL, provider: str = "phala") -> dict[str, Any]:
    document = session.saved({**session.report(), **LEGACY})
    url = f"{REDPILL}?model={quote(model, safe='')}&nonce={session.nonce.hex()}&signing_algo=ecdsa"
    document["exchanges"][0]["request"]["url"] = url
    return {**document, "provider": provider}


def _rules(session: AciSession, *, gpus: bool = False) -> Policy:
    text = aci_policy(session).replace('provider = "aci"', 'provider = "phala"')
    return Policy.from_toml(text.replace("require = false", "require = true") if gpus else text)


def _judge(document: dict[str, Any], rules: Policy) -> AttestationVerdict:
    return PhalaVerifier(rules, roots=trust_roots()).verify_saved(saved(document))


def _deciding(verdict: AttestationVerdict) -> set[str]:
    return {result.id for subject in verdict.subjects for result in subject.checks if result.decides is verdict.outcome}


def test_the_gateway_is_verified_and_its_keys_are_attested() -> None:
    session = _session()
    verdict = _judge(_document(session), _rules(session))
    assert (verdict.outcome, [subject.role for subject in verdict.subjects]) == (Outcome.VERIFIED, ["gateway"])
    assert {key.use for key in verdict.subjects[0].attested_keys} == {"signing", "e2ee"}


def test_a_policy_that_demands_gpus_is_not_met_by_silence() -> None:
    session = _session()
    verdict = _judge(_document(session), _rules(session, gpus=True))
    assert (verdict.outcome, _deciding(verdict)) == (Outcome.REJECTED, {"policy.shape"})


def test_another_model_in_the_request() -> None:
    session = _session()
    assert "evidence.complete" in _deciding(_judge(_document(session, model="other"), _rules(session)))


def test_a_key_that_is_added_to_the_set() -> None:
    session = _session()
    document = edit_json(
        _document(session), "attestation/report", lambda report: report["attestation"]["workload_keyset"].update(x=1)
    )
    verdict = _judge(document, _rules(session))
    assert verdict.outcome is Outcome.REJECTED
    assert "aci.keyset" in _deciding(verdict)


def test_another_connection() -> None:
    session = _session()
    session.peer_spki = session.keys.p256("tls/other").public_key().public_bytes(*_der())
    verdict = _judge(_document(session), _rules(session))
    assert (verdict.outcome, _deciding(verdict)) == (Outcome.REJECTED, {"aci.channel"})


def _der() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.DER, PublicFormat.SubjectPublicKeyInfo


@pytest.mark.parametrize("role", ["model", "instance"])
def test_a_policy_for_another_shape(role: str) -> None:
    session = _session()
    text = (
        aci_policy(session)
        .replace('provider = "aci"', 'provider = "phala"')
        .replace("[pins.gateway]", f"[pins.{role}]")
    )
    text = "\n".join(line for line in text.splitlines() if not line.startswith("custody_roots"))
    verdict = _judge(_document(session), Policy.from_toml(text))
    assert verdict.outcome is Outcome.REJECTED
    assert "policy.shape" in _deciding(verdict)


def test_other_fronts_do_not_judge_it() -> None:
    session = _session()
    document = _document(session, provider="nanogpt")
    url = document["exchanges"][0]["request"]["url"].replace(REDPILL, "https://nano-gpt.com/api/v1/tee/attestation")
    document["exchanges"][0]["request"]["url"] = url.partition("&signing_algo")[0]
    rules = Policy.from_toml(aci_policy(session).replace('provider = "aci"', 'provider = "nanogpt"'))
    verdict = NanoGptVerifier(rules, roots=trust_roots()).verify_saved(saved(document))
    assert verdict.outcome is Outcome.INCONCLUSIVE
