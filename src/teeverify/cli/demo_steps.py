"""The steps of ``teeverify demo`` for NEAR: what is true first, then one lie at a time."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, KeyMismatchError
from .demo_show import Show, demonstrated

if TYPE_CHECKING:
    from ..exchange import Exchange
    from ..providers.near import NearVerifier
    from ..testing.simulation import SimulatedTee
    from ..verdict import AttestationVerdict, VerifiedExchange

__all__ = ["LIES", "demonstrate"]

LIES: Final = (
    ("replayed-nonce", "an old report is served again, made for another nonce", "freshness.nonce_bound"),
    ("swapped-key", "the signing key in the report is replaced", "binding.report_data"),
    ("other-tls-key", "the connection ends at another TLS key than the attested one", "channel.tls_spki"),
    ("forged-event", "an event of the boot log is rewritten", "dstack.event_digests"),
    ("old-tcb", "the platform's firmware is out of date", "tcb.status"),
)
_PROMPT: Final = "Which of my words leave this machine?"


def demonstrate(*, direct: bool, save: str | None) -> int:
    """Run the demonstration against the gateway, or a model's own host; returns the command's exit code."""
    from ..testing.simulation import SimulatedTee

    return demonstrated(SimulatedTee.near(cloud=not direct), name="NEAR", save=save, acts=(_truth, _lies))


def _truth(show: Show) -> None:
    from ..saved import SavedReport

    tee = show.tee
    print("What is true is VERIFIED:")
    verifier = _verifier(tee)
    verdict = verifier.verify_attestation(tee.model)
    passes = sum(check.status.value == "pass" for check in verdict.checks)
    more = f"{len(verdict.subjects)} machines, {passes} checks passed, nonce {verdict.nonce[:16]}..."
    show.step("attestation with a fresh nonce", "VERIFIED", verdict.outcome.value, more)
    judged: VerifiedExchange | None = None
    for words, stream in (("a chat completion over the attested TLS key", False), ("the same, streamed", True)):
        judged = verifier.verify_exchange(_chat(tee, verdict, stream=stream))
        more = f"signed by the attested key of the {judged.signed_by}"
        show.step(words, "VERIFIED", judged.outcome.value, more)
    if judged is None or judged.evidence is None:
        show.surprises.append("the exchange carries no evidence")
        return
    judged.evidence.save(show.saved)
    report = SavedReport.load(show.saved)
    auditor = _verifier(tee)
    size = f"{show.saved.stat().st_size} bytes"
    show.step("the saved report, verified offline", "VERIFIED", auditor.verify_saved(report).outcome.value, size)
    show.step("the saved exchange, verified offline", "VERIFIED", auditor.verify_saved_exchange(report).outcome.value)


def _lies(show: Show) -> None:
    tee = show.tee
    print("\nWhat is not true is refused, one lie at a time:")
    for fault, words, check_id in LIES:
        show.under(fault, functools.partial(_attest_a_lie, show, words, check_id))
    verdict = _verifier(tee).verify_attestation(tee.model)
    show.under("other-tls-key", functools.partial(_send_to_a_stranger, show, verdict))
    show.under("altered-response-byte", functools.partial(_verify_an_altered_answer, show, verdict))
    again = _verifier(tee).verify_attestation(tee.model)
    show.step("and the truth once more", "VERIFIED", again.outcome.value)


def _attest_a_lie(show: Show, words: str, check_id: str) -> None:
    verdict = _verifier(show.tee).verify_attestation(show.tee.model)
    show.step(words, "REJECTED", verdict.outcome.value, show.reason(words, verdict.checks, check_id))


def _send_to_a_stranger(show: Show, verdict: AttestationVerdict) -> None:
    words = "a prompt on its way to another TLS key"
    try:
        _chat(show.tee, verdict, stream=False)
    except KeyMismatchError as error:
        show.step(words, "not sent", "not sent", str(error))
    else:
        show.step(words, "not sent", "sent")


def _verify_an_altered_answer(show: Show, verdict: AttestationVerdict) -> None:
    words = "one byte of an answer altered on the way"
    judged = _verifier(show.tee).verify_exchange(_chat(show.tee, verdict, stream=True), attestation=verdict)
    reason = show.reason(words, judged.checks, "exchange.response_digest")
    show.step(words, "REJECTED", judged.outcome.value, reason)


def _verifier(tee: SimulatedTee) -> NearVerifier:
    from ..providers.near import NearVerifier

    return NearVerifier(tee.policy, roots=tee.roots, transport=tee.transport(), api_key=tee.api_key)


def _chat(tee: SimulatedTee, verdict: AttestationVerdict, *, stream: bool) -> Exchange:
    """Send a prompt over a connection that must end at the attested key, and keep the exact bytes."""
    from ..exchange import Exchange
    from ..flow import Request
    from ..limits import MAX_CHAT_BODY

    origin, spki = tee.origins[0], verdict.attested_tls_spki
    if spki is None:
        raise ConfigurationError("the endpoint was not verified, so no prompt is sent to it")
    body = json.dumps({"model": tee.model, "stream": stream, "messages": [{"role": "user", "content": _PROMPT}]})
    with tee.transport(pins={origin: spki}) as transport:
        response = transport.send(
            Request(
                method="POST",
                url=f"{origin}/v1/chat/completions",
                headers={"Content-Type": "application/json"},
                body=body.encode("utf-8"),
                limit=MAX_CHAT_BODY,
            )
        )
    return Exchange(
        model=tee.model,
        request_body=body.encode("utf-8"),
        response_body=response.body,
        peer_spki=response.peer_spki,
    )
