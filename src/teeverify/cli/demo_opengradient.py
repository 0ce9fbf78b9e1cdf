"""The steps of ``teeverify demo --provider opengradient``: an enclave, a relay that reads nothing, and lies of both."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from ..errors import TeeverifyError, TransportError
from .demo_show import Show, demonstrated

if TYPE_CHECKING:
    from ..e2ee.relay import RelayedChat
    from ..providers.opengradient import OpenGradientVerifier
    from ..requests_transport import RequestsTransport
    from ..testing.simulation import SimulatedTee
    from ..verdict import AttestationVerdict

__all__ = ["ANSWER_LIES", "LIES", "RELAY_LIES", "demonstrate_opengradient"]

LIES: Final = (
    ("replayed-nonce", "an old document is served again, made for another nonce", "freshness.nonce_bound"),
    ("chain-smuggled-root", "a stranger's root stands below AWS's", "nitro.cert_chain"),
    ("other-application", "the enclave runs another application", "nitro.pcrs"),
    ("swapped-key", "the key that signs answers is a stranger's", "nitro.user_data"),
    ("swapped-ohttp-key", "the key that requests are encrypted to is a stranger's", "enclave.ohttp_key"),
    ("heartbeat-stale", "the contract's entry is an old one", "registry.entry"),
)
ANSWER_LIES: Final = (
    ("altered-response-byte", "one letter of an answer altered after signing", "exchange.response_digest"),
    ("forged-signature", "a stranger signs in the enclave's name", "exchange.signature"),
    ("other-request", "a genuine answer, to another request", "exchange.request_digest"),
    ("replayed-answer", "the same answer once more", "exchange.first_seen"),
)
RELAY_LIES: Final = (
    ("chunk-dropped", "the relay drops a piece of a stream"),
    ("plain-answer", "the relay hands over an answer in plaintext"),
)
_PROMPT: Final = "Which of my words leave this machine?"


def demonstrate_opengradient(*, save: str | None) -> int:
    """Run the demonstration; returns the command's exit code."""
    from ..testing.simulation import SimulatedTee

    return demonstrated(SimulatedTee.opengradient(), name="OpenGradient", save=save, acts=(_truth, _lies, _relay_lies))


def _truth(show: Show) -> None:
    from ..saved import SavedReport

    print("What is true is VERIFIED:")
    with show.tee.transport() as transport:
        verifier = _verifier(show.tee, transport)
        verdict = verifier.verify_attestation(show.tee.model)
        passes = sum(check.status.value == "pass" for check in verdict.checks)
        level = next((check.observed for check in verdict.checks if check.id == "enclave.assurance"), None)
        more = f"level {level}, {passes} checks passed, nonce {verdict.nonce[:16]}..."
        words = f"an enclave that {len(show.tee.nodes)} nodes list, challenged with a fresh nonce"
        show.step(words, "VERIFIED", verdict.outcome.value, more)
        for words, stream in (
            ("a chat through the relay, sealed to that enclave", False),
            ("the same, streamed", True),
        ):
            chat = _chat(show.tee, verifier, verdict, stream=stream)
            more = f"signed by the attested key {chat.verified.signer}" if chat.answer is not None else ""
            show.step(words, "VERIFIED", chat.verified.outcome.value, more)
    if chat.verified.evidence is None:
        show.surprises.append("the exchange carries no evidence")
        return
    chat.verified.evidence.save(show.saved)
    report = SavedReport.load(show.saved)
    size = f"{show.saved.stat().st_size} bytes"
    show.step("the saved report, verified offline", "VERIFIED", verifier.verify_saved(report).outcome.value, size)
    show.step("the saved exchange, verified offline", "VERIFIED", verifier.verify_saved_exchange(report).outcome.value)


def _lies(show: Show) -> None:
    print("\nWhat is not true is refused, one lie at a time:")
    for fault, words, check_id in LIES:
        show.under(fault, functools.partial(_attest_a_lie, show, words, check_id))
    show.under("swapped-ohttp-key", functools.partial(_send_to_a_stranger, show))


def _relay_lies(show: Show) -> None:
    with show.tee.transport() as transport:
        verdict = _verifier(show.tee, transport).verify_attestation(show.tee.model)
    if not verdict.verified:
        show.surprises.append("the truth is not VERIFIED, so no answers could be asked for")
        return
    for fault, words, check_id in ANSWER_LIES:
        show.under(fault, functools.partial(_verify_a_lie, show, verdict, words, check_id))
    for fault, words in RELAY_LIES:
        show.under(fault, functools.partial(_open_a_lie, show, verdict, words))
    with show.tee.transport() as transport:
        again = _verifier(show.tee, transport).verify_attestation(show.tee.model)
    show.step("and the truth once more", "VERIFIED", again.outcome.value)


def _attest_a_lie(show: Show, words: str, check_id: str) -> None:
    with show.tee.transport() as transport:
        verdict = _verifier(show.tee, transport).verify_attestation(show.tee.model)
    show.step(words, "REJECTED", verdict.outcome.value, show.reason(words, verdict.checks, check_id))


def _send_to_a_stranger(show: Show) -> None:
    """What reached the relay is counted, since words about what was not sent are cheap."""
    words, more = "a prompt that a stranger could decrypt", ""
    before = _chats(show.tee)
    with show.tee.transport() as transport:
        verifier = _verifier(show.tee, transport)
        try:
            _chat(show.tee, verifier, verifier.verify_attestation(show.tee.model), stream=False)
        except TeeverifyError as error:
            more = f"chat() raised {type(error).__name__}; the relay was not asked"
    sent = _chats(show.tee) > before
    show.step(words, "not sent", "sent" if sent else "not sent", "" if sent else more)


def _verify_a_lie(show: Show, verdict: AttestationVerdict, words: str, check_id: str) -> None:
    with show.tee.transport() as transport:
        verifier = _verifier(show.tee, transport)
        chat = _chat(show.tee, verifier, verdict, stream=False)
        if check_id == "exchange.first_seen":
            chat = _chat(show.tee, verifier, verdict, stream=False)
    observed = chat.verified.outcome.value if chat.answer is None else "VERIFIED"
    show.step(words, "REJECTED", observed, show.reason(words, chat.verified.checks, check_id))


def _open_a_lie(show: Show, verdict: AttestationVerdict, words: str) -> None:
    with show.tee.transport() as transport:
        try:
            _chat(show.tee, _verifier(show.tee, transport), verdict, stream=True)
        except TransportError as error:
            show.step(words, "unread", "unread", str(error))
        else:
            show.step(words, "unread", "read")


def _verifier(tee: SimulatedTee, transport: RequestsTransport) -> OpenGradientVerifier:
    from ..providers.opengradient import OpenGradientVerifier

    return OpenGradientVerifier(tee.policy, nodes=tee.nodes, roots=tee.roots, transport=transport)


def _chat(
    tee: SimulatedTee, verifier: OpenGradientVerifier, verdict: AttestationVerdict, *, stream: bool
) -> RelayedChat:
    """Send a prompt through the relay; raises, and sends nothing, where the enclave is not VERIFIED."""
    request = {"model": tee.model, "stream": stream, "messages": [{"role": "user", "content": _PROMPT}]}
    return verifier.chat(request, model=tee.model, attestation=verdict, token=tee.api_key)


def _chats(tee: SimulatedTee) -> int:
    return sum(asked.method == "POST" and asked.path.endswith("/ohttp") for asked in tee.asked)
