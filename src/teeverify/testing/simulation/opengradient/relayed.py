"""One chat as the enclave sees it: the opened request, the signed answer, and how it is sealed to its request."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from teeverify.testing.ohttp import OpenedRequest
from teeverify.testing.opengradient import OpenGradientSession
from teeverify.testing.opengradient_answers import ANSWER, canonical_request
from teeverify.testing.simulation.messages import Reply

__all__ = ["CHUNKED", "WHOLE", "Relayed", "event"]

WHOLE: Final = "message/ohttp-res"
CHUNKED: Final = "message/ohttp-chunked-res"


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@frozen(kw_only=True)
class Relayed:
    """One chat.

    ``session`` is the deployment at the time of the chat. ``number`` counts chats from 1 and stands in the answer,
    since models do not repeat themselves either. ``memory`` holds the answers that were given before, by what is signed
    of their requests.
    """

    session: OpenGradientSession = field(repr=False)
    opened: OpenedRequest = field(repr=False)
    number: int
    memory: MutableMapping[bytes, bytes] = field(repr=False)

    @property
    def wire(self) -> bytes:
        """The request in plaintext."""
        return self.opened.plaintext

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return json.loads(self.wire).get("stream") is True

    def plain(self, **options: Any) -> bytes:
        """The signed answer in plaintext; ``options`` are those of `OpenGradientSession.chat`."""
        return self.session.chat(self.wire, **{"text": f"{ANSWER} Chat {self.number}.", **options})

    def events(self, **options: Any) -> list[bytes]:
        """The events of a streamed answer: text, the signed one, ``[DONE]``."""
        return _events(self.plain(**options))

    def truthful(self) -> Reply:
        """The reply of an honest enclave and relay."""
        return self.sealed(self.plain())

    def remembered(self) -> Reply:
        """The first answer that was given to a request like this one, sealed anew."""
        index = canonical_request(self.wire) + (b"stream" if self.stream else b"")
        return self.sealed(self.memory.setdefault(index, self.plain()))

    def sealed(self, plain: bytes) -> Reply:
        """The reply with an answer in plaintext, sealed in the form that was asked for."""
        if not self.stream:
            return self.whole(self.opened.seal(plain))
        return self.chunked(self.opened.sealed_parts(_events(plain), billing=self.session.billing))

    def whole(self, body: bytes) -> Reply:
        """A reply with these sealed bytes."""
        return Reply(headers=(("Content-Type", WHOLE),), body=body)

    def chunked(self, parts: Sequence[bytes]) -> Reply:
        """A reply with these sealed parts, sent one by one."""
        return Reply(headers=(("Content-Type", CHUNKED),), parts=tuple(parts))

    def signed_part(self, change: Callable[[dict[str, Any]], Any], **options: Any) -> Reply:
        """The reply after a change of the JSON object that carries the signature."""
        if not self.stream:
            document = json.loads(self.plain(**options))
            change(document)
            return self.sealed(json.dumps(document).encode())
        *deltas, signed, done = self.events(**options)
        document = json.loads(signed.removeprefix(b"data:"))
        change(document)
        return self.sealed(b"".join((*deltas, event(document), done)))

    def text(self, change: Callable[[str], str]) -> Reply:
        """The reply after a change of the text, which is streamed in one piece."""
        if not self.stream:
            document = json.loads(self.plain())
            message = document["choices"][0]["message"]
            message["content"] = change(message["content"])
            return self.sealed(json.dumps(document).encode())
        first, *others = self.events(pieces=1)
        document = json.loads(first.removeprefix(b"data:"))
        delta = document["choices"][0]["delta"]
        delta["content"] = change(delta["content"])
        return self.sealed(b"".join((event(document), *others)))


def _events(plain: bytes) -> list[bytes]:
    return [piece + b"\n\n" for piece in plain.split(b"\n\n") if piece]
