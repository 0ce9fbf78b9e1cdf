"""Faults of the relay of a simulated OpenGradient: what it can do to sealed answers, and what it says in plaintext.

None of them comes to a judgement: what does not open is no answer, and a chat ends with a TransportError.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from attrs import evolve

from teeverify.testing.ohttp import billing_frame, quic_varint
from teeverify.testing.simulation.fault import EXCHANGE, VERIFIED
from teeverify.testing.simulation.messages import Reply, json_reply
from teeverify.testing.simulation.opengradient.fault import EVERY_LEVEL, OpenGradientFault
from teeverify.testing.simulation.opengradient.relayed import CHUNKED, WHOLE, Relayed

__all__ = ["LOST", "sealed_faults"]

LOST: Final = "TransportError"
"""How a chat ends that brought nothing which opens."""
_FINAL: Final = -1

Make = Callable[[Relayed], Reply]


def sealed_faults() -> tuple[OpenGradientFault, ...]:
    """All of them."""
    return (*_changed(), *_chunks(), *_plain(), *_billing())


def _changed() -> tuple[OpenGradientFault, ...]:
    """Sealed answers that were changed, or are another's."""

    def flipped(place: int) -> Make:
        def reply(relayed: Relayed) -> Reply:
            body = bytearray(relayed.truthful().whole())
            body[place] ^= 1
            return _typed(relayed, bytes(body))

        return reply

    def other_request(relayed: Relayed) -> Reply:
        return evolve(relayed, opened=evolve(relayed.opened, enc=bytes(range(32)))).truthful()

    def other_form(relayed: Relayed) -> Reply:
        """A whole answer where a stream was asked for, and the other way round, under the right media type."""
        plain = relayed.plain()
        opened = relayed.opened
        return _typed(relayed, opened.seal(plain) if relayed.stream else opened.seal_chunks([plain]))

    def named_otherwise(relayed: Relayed) -> Reply:
        return evolve(relayed.truthful(), headers=(("Content-Type", WHOLE if relayed.stream else CHUNKED),))

    return (
        _fault("sealed-bit-flipped", "One bit of the sealed answer was changed.", flipped(_FINAL)),
        _fault("sealed-nonce-flipped", "One bit of the answer's nonce was changed.", flipped(0)),
        _fault("sealed-for-another", "The answer is sealed to another request.", other_request),
        _fault("sealed-other-form", "A whole answer to a stream's request, or chunks to another.", other_form),
        _fault("sealed-other-type", "The answer calls itself by the other form's media type.", named_otherwise),
        _fault("sealed-cut-off", "The sealed answer ends in the middle.", _body(lambda body: body[: len(body) // 2])),
        _fault("sealed-nonce-cut", "The sealed answer ends within its nonce.", _body(lambda body: body[:20])),
        _fault("sealed-byte-added", "A byte follows the sealed answer.", _body(lambda body: body + b"\0")),
    )


def _chunks() -> tuple[OpenGradientFault, ...]:
    """Chunks that were dropped, moved or relabelled. Part 0 is the nonce, the last one the final chunk."""

    def of(change: Callable[[list[bytes]], list[bytes]]) -> Make:
        return lambda relayed: relayed.chunked(change(relayed.opened.sealed_parts(relayed.events())))

    def final_as_usual(parts: list[bytes]) -> list[bytes]:
        sealed = parts[_FINAL][1:]
        return [*parts[:_FINAL], quic_varint(len(sealed)) + sealed, parts[_FINAL]]

    def usual_as_final(parts: list[bytes]) -> list[bytes]:
        head = 1 << (parts[1][0] >> 6)
        return [parts[0], b"\0" + parts[1][head:]]

    rows: tuple[tuple[str, str, Callable[[list[bytes]], list[bytes]]], ...] = (
        ("chunk-dropped", "One chunk is missing.", lambda p: [p[0], *p[2:]]),
        ("chunks-swapped", "Two chunks have changed places.", lambda p: [p[0], p[2], p[1], *p[3:]]),
        ("chunk-twice", "One chunk is there twice.", lambda p: [p[0], p[1], *p[1:]]),
        (
            "chunk-final-missing",
            "The stream ends at a chunk's boundary, without the final chunk.",
            lambda p: p[:_FINAL],
        ),
        ("chunk-final-relabelled", "The final chunk is made to look like any other.", final_as_usual),
        ("chunk-relabelled-final", "The first chunk is made to look like the final one.", usual_as_final),
        ("chunk-final-twice", "A second final chunk follows.", lambda p: [*p, p[_FINAL]]),
        ("chunk-too-short", "A chunk is shorter than its own seal.", lambda p: [p[0], b"\x08" + bytes(8), *p[1:]]),
        ("chunk-huge", "A chunk announces 2^62 - 1 bytes.", lambda p: [p[0], b"\xff" * 8, *p[1:]]),
    )
    return tuple(_fault(name, words, of(change), stream=True) for name, words, change in rows)


def _plain() -> tuple[OpenGradientFault, ...]:
    """What the relay says itself, which is nobody's word."""

    def answer(relayed: Relayed) -> Reply:
        return Reply(headers=(("Content-Type", "application/json"),), body=_whole(relayed))

    def status(number: int) -> Make:
        return lambda relayed: evolve(relayed.truthful(), status=number)

    return (
        _fault("plain-answer", "A genuine signed answer, not encrypted.", answer),
        _fault("plain-called-sealed", "The same, called sealed.", lambda r: _typed(r, _whole(r))),
        _fault("refused-and-sealed", "Status 403, and a sealed answer below it.", status(403)),
        _fault(
            "error-with-words", "Status 402 with a text about payment.", lambda _: json_reply({"detail": "pay"}, 402)
        ),
        _fault("moderated", "Status 451: the relay says that the prompt was blocked.", status(451)),
    )


def _billing() -> tuple[OpenGradientFault, ...]:
    """The frame that the gateway writes for the relay, in plaintext."""

    def at(place: int) -> Make:
        def reply(relayed: Relayed) -> Reply:
            parts = relayed.opened.sealed_parts(relayed.events())
            return relayed.chunked([*parts[:place], billing_frame(), *parts[place:]])

        return reply

    def split(relayed: Relayed) -> Reply:
        """Chunks of seven bytes, whatever the events are."""
        plain = relayed.plain()
        pieces = [plain[start : start + 7] for start in range(0, len(plain), 7)]
        return relayed.chunked(relayed.opened.sealed_parts(pieces, varint_size=4))

    return (
        _fault("billing-frame", "The relay leaves its frame before the final chunk.", at(_FINAL), error=None),
        _fault("billing-early", "The relay's frame stands before another chunk.", at(1)),
        _fault("billing-last", "The relay's frame stands at the end.", at(1 << 20)),
        _fault("chunks-of-seven-bytes", "Chunks end anywhere, in long spellings of their length.", split, error=None),
    )


def _body(change: Callable[[bytes], bytes]) -> Make:
    return lambda relayed: _typed(relayed, change(relayed.truthful().whole()))


def _typed(relayed: Relayed, body: bytes) -> Reply:
    """These bytes, under the media type that was asked for."""
    return Reply(headers=(("Content-Type", CHUNKED if relayed.stream else WHOLE),), body=body)


def _whole(relayed: Relayed) -> bytes:
    asked = {**json.loads(relayed.wire), "stream": False}
    return relayed.session.chat(json.dumps(asked).encode())


def _fault(
    name: str, description: str, reply: Make, *, stream: bool | None = None, error: str | None = LOST
) -> OpenGradientFault:
    """A fault of the relay; billing frames and odd chunks exist in streams only."""
    only = True if "billing" in name or name.startswith("chunk") else stream
    return OpenGradientFault(
        name=name,
        area=EXCHANGE,
        description=description,
        outcomes=(VERIFIED,),
        levels=EVERY_LEVEL,
        stream=only,
        reply=reply,
        error=error,
    )
