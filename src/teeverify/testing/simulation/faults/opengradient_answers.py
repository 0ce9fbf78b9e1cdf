"""Faults of the answers that a simulated gateway of OpenGradient signs; the attestation is truthful in all of them."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Callable
from typing import Any, Final

from teeverify.testing.opengradient_answers import CALLS, keccak_256
from teeverify.testing.rsa import rsa_key
from teeverify.testing.simulation.fault import EXCHANGE, INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.simulation.messages import Reply
from teeverify.testing.simulation.opengradient.fault import EVERY_LEVEL, OpenGradientFault
from teeverify.testing.simulation.opengradient.relayed import Relayed, event

__all__ = ["answer_faults"]

_SIGNATURE: Final = "exchange.signature"
_RESPONSE: Final = "exchange.response_digest"
_FIELDS: Final = ("tee_signature", "tee_request_hash", "tee_output_hash", "tee_timestamp", "tee_id")
_TWO_HOURS: Final = 7200

Make = Callable[[Relayed], Reply]
Members = dict[str, Any]


def answer_faults() -> tuple[OpenGradientFault, ...]:
    """All of them."""
    return (*_fields(), *_signers(), *_outputs(), *_streams())


def _fields() -> tuple[OpenGradientFault, ...]:
    """What an answer says about its signature."""

    def without(document: Members) -> None:
        for name in _FIELDS:
            del document[name]

    def edited_hash(relayed: Relayed) -> Reply:
        genuine: list[str] = []
        relayed.signed_part(lambda d: genuine.append(d["tee_signature"]))
        return relayed.signed_part(lambda d: d.update(tee_signature=genuine[0]), text="An altered answer.")

    def twice(relayed: Relayed) -> Reply:
        again = b'"tee_output_hash": "%s", "tee_timestamp"' % (b"00" * 32)
        return relayed.sealed(relayed.plain().replace(b'"tee_timestamp"', again))

    return (
        _signed("unsigned-answer", "The answer is not signed.", _SIGNATURE, without),
        _signed("signature-null", "The signature is null.", _SIGNATURE, lambda d: d.update(tee_signature=None)),
        _signed("signature-short", "The signature lacks its last byte.", _SIGNATURE, _resigned(lambda s: s[:-1])),
        _signed(
            "signature-lenient", "The signature's base64 has a line break.", _SIGNATURE,
            lambda d: d.update(tee_signature=f"{d['tee_signature'][:64]}\n{d['tee_signature'][64:]}"),
        ),
        _fault("hash-edited", "Another output, and the hash beside it fits.", edited_hash, _SIGNATURE),
        _signed(
            "time-altered", "The time is another one than was signed.", _SIGNATURE,
            lambda d: d.update(tee_timestamp=d["tee_timestamp"] + 1),
        ),
        _signed(
            "time-is-text", "The time is a text.", _SIGNATURE,
            lambda d: d.update(tee_timestamp=str(d["tee_timestamp"])),
        ),
        _signed("id-missing", "The answer does not say who signed.", _SIGNATURE, lambda d: d.pop("tee_id")),
        _fault("field-twice", "One of the signed fields is there twice.", twice, _SIGNATURE),
    )  # fmt: skip


def _signers() -> tuple[OpenGradientFault, ...]:
    """Signatures of others, and over something else."""

    def key(relayed: Relayed, label: str) -> dict[str, Any]:
        return {"key": rsa_key(relayed.session.keys, f"opengradient/{label}")}

    def forged(relayed: Relayed) -> Reply:
        ours = f"0x{relayed.session.tee_id.hex()}"
        return relayed.signed_part(lambda d: d.update(tee_id=ours), **key(relayed, "attacker"))

    def other_salt(relayed: Relayed) -> Reply:
        def change(document: Members) -> None:
            hashes = [bytes.fromhex(document[name]) for name in ("tee_request_hash", "tee_output_hash")]
            message = keccak_256(b"".join((*hashes, document["tee_timestamp"].to_bytes(32, "big"))))
            signature = relayed.session.signing.sign(message, salt_size=20)
            document["tee_signature"] = base64.b64encode(signature).decode()

        return relayed.signed_part(change)

    def of_config(relayed: Relayed) -> Reply:
        return relayed.signed_part(lambda d: d.update(tee_signature=relayed.session.hpke()["signature"]))

    def other_request(relayed: Relayed) -> Reply:
        asked = json.loads(relayed.wire)
        asked["messages"] = [*asked["messages"], {"role": "user", "content": "And something else?"}]
        return relayed.sealed(relayed.session.chat(json.dumps(asked).encode()))

    def at(seconds: int) -> Make:
        return lambda relayed: relayed.sealed(relayed.plain(at=int(relayed.session.at.timestamp()) + seconds))

    return (
        _fault(
            "other-enclave-signs", "Another enclave signed, under its own id.",
            lambda r: r.sealed(r.plain(**key(r, "other"))), "exchange.signer_attested",
        ),
        _fault("forged-signature", "A stranger signed, under the attested id.", forged, _SIGNATURE),
        _fault("other-salt", "The signature has a salt of another length.", other_salt, _SIGNATURE),
        _fault("config-signature", "The signature is the one over the key for encryption.", of_config, _SIGNATURE),
        _fault(
            "other-request", "The answer is a genuine one, to another request.", other_request,
            "exchange.request_digest",
        ),
        _fault("answer-old", "The answer was signed two hours ago.", at(-_TWO_HOURS), "exchange.window"),
        _fault("answer-ahead", "The answer was signed two hours ahead.", at(_TWO_HOURS), "exchange.window"),
        _fault(
            "replayed-answer", "From the second request of a kind on, the first one's answer is given again.",
            lambda r: r.remembered(), "exchange.first_seen",
        ),
    )  # fmt: skip


def _outputs() -> tuple[OpenGradientFault, ...]:
    """What is handed out, against what was signed."""

    def shown_as_calls(relayed: Relayed) -> Reply:
        return relayed.sealed(relayed.plain(calls=CALLS))

    def shown_as_text(relayed: Relayed) -> Reply:
        return relayed.sealed(relayed.plain(text=json.dumps([dict(call) for call in CALLS], sort_keys=True)))

    def others_words(document: Members) -> None:
        document.update(model="another-model", usage={"total_tokens": 10**9}, citations=["https://example.test"])

    def envelope(relayed: Relayed) -> Reply:
        failed = {"status": 502, "body": {"error": "the model provider did not answer"}}
        return relayed.sealed(json.dumps(failed).encode())

    return (
        _fault(
            "altered-response-byte", "One letter of the answer was changed after signing.",
            lambda r: r.text(lambda text: text.replace("simulated", "Simulated")), _RESPONSE, _SIGNATURE,
        ),
        _fault(
            "altered-normalised", "The answer's accents are spelled in another way (NFD).",
            lambda r: r.text(lambda text: unicodedata.normalize("NFD", text)), _RESPONSE, _SIGNATURE,
        ),
        _fault("altered-spaces", "A space was added to the answer.", lambda r: r.text(lambda text: f" {text}"),
               _RESPONSE, _SIGNATURE),
        _fault("calls-not-offered", "Tool calls that the request did not offer.", shown_as_calls, _SIGNATURE),
        _fault(
            "calls-as-text", "A signed text that is JSON of tool calls: a gap of the protocol, told under gaps.",
            shown_as_text, outcomes=(VERIFIED,),
        ),
        _signed("unsigned-members", "Model, usage and citations were invented; they are not signed.", "", others_words),
        _fault("sealed-error", "The gateway seals an error in place of an answer.", envelope, _SIGNATURE,
               stream=False, outcomes=(INCONCLUSIVE,)),
    )  # fmt: skip


def _streams() -> tuple[OpenGradientFault, ...]:
    """Streams that do not have their form."""

    def of(change: Callable[[list[bytes]], list[bytes]]) -> Make:
        return lambda relayed: relayed.sealed(b"".join(change(relayed.events())))

    def delta(**members: Any) -> bytes:
        return event({"choices": [{"delta": members, "index": 0, "finish_reason": None}]})

    two = event({"choices": [{"delta": {"content": "x"}, "index": index} for index in (0, 1)]})
    error = event({"error": "the model provider went away", "exception_type": "ProviderError"})
    call = delta(tool_calls=[{"index": 0, **CALLS[0]}])

    def with_content(relayed: Relayed) -> Reply:
        return relayed.signed_part(lambda d: d["choices"][0].update(delta={"content": " And more."}))

    rows: tuple[tuple[str, str, Make, tuple[str, ...]], ...] = (
        ("stream-unsigned", "The stream ends well, without a signed event.", of(lambda e: [*e[:-2], e[-1]]), ()),
        ("stream-signed-twice", "The stream holds two signed events.", of(lambda e: [*e[:-1], *e[-2:]]), ()),
        ("stream-text-after", "Text follows the signed event.", of(lambda e: [*e[:-1], delta(content="!"), e[-1]]), ()),
        ("stream-after-done", "Text follows [DONE].", of(lambda e: [*e, delta(content="!")]), ()),
        ("stream-signed-text", "The signed event holds text of its own.", with_content, ()),
        ("stream-calls-beside", "Tool calls stand beside the signed text.", of(lambda e: [call, *e]), ()),
        ("stream-two-choices", "An event holds two choices.", of(lambda e: [two, *e]), ()),
        ("stream-event-dropped", "The first event is missing.", of(lambda e: e[1:]), (_RESPONSE,)),
        ("stream-events-swapped", "Two events have changed places.", of(lambda e: [e[1], e[0], *e[2:]]), (_RESPONSE,)),
        ("stream-not-utf8", "An event is not UTF-8.", of(lambda e: [b"data: \xff\xfe\n\n", *e]), ()),
        ("stream-not-json", "An event is no JSON.", of(lambda e: [b"data: {\n\n", *e]), ()),
    )
    return (
        *(_fault(name, words, make, _SIGNATURE, *more, stream=True) for name, words, make, more in rows),
        _fault("missing-done", "The stream lacks its [DONE].", of(lambda e: e[:-1]), _RESPONSE, stream=True),
        _fault(
            "stream-error", "An event tells of an error, and the stream goes on.", of(lambda e: [e[0], error, *e[1:]]),
            _SIGNATURE, stream=True, outcomes=(INCONCLUSIVE,),
        ),
        _fault(
            "stream-status", "An event of the gateway's web search, which is unsigned and no text.",
            of(lambda e: [event({"choices": [], "web_search": {"status": "searching"}}), *e]),
            stream=True, outcomes=(VERIFIED,),
        ),
    )  # fmt: skip


def _resigned(change: Callable[[bytes], bytes]) -> Callable[[Members], None]:
    def apply(document: Members) -> None:
        document["tee_signature"] = base64.b64encode(change(base64.b64decode(document["tee_signature"]))).decode()

    return apply


def _signed(name: str, description: str, check: str, change: Callable[[Members], Any]) -> OpenGradientFault:
    """A fault of the object that carries the signature; no check stands for no harm done."""
    checks = (check,) if check else ()
    outcomes = (REJECTED,) if check else (VERIFIED,)
    return _fault(name, description, lambda relayed: relayed.signed_part(change), *checks, outcomes=outcomes)


def _fault(
    name: str,
    description: str,
    reply: Make,
    *checks: str,
    outcomes: tuple[str, ...] = (REJECTED,),
    stream: bool | None = None,
) -> OpenGradientFault:
    return OpenGradientFault(
        name=name,
        area=EXCHANGE,
        description=description,
        outcomes=outcomes,
        checks=frozenset(checks),
        levels=EVERY_LEVEL,
        stream=stream,
        reply=reply,
    )
