"""Nodes, an enclave and a relay without sockets: a transport over a session, for tests and examples."""

from __future__ import annotations

from typing import Final

from attrs import evolve
from cryptography.exceptions import InvalidTag

from teeverify.errors import TransportError
from teeverify.flow import Request, Response

from .opengradient import RELAY_URL, OpenGradientSession
from .recording import Answer

__all__ = ["OpenGradientTransport"]


class OpenGradientTransport:
    """Answers like the nodes, the enclave and the relay of a session.

    Attributes:
        session: what answers; its knobs may be turned at any time, or another session put in its place.
        asked: all requests so far.
        dead: URLs (their beginnings) that cannot be reached.
        replies: whole answers by the beginning of a URL, in place of the session's.
    """

    concurrent: Final = False

    def __init__(self, session: OpenGradientSession | None = None) -> None:
        self.session = OpenGradientSession.build() if session is None else session
        self.asked: list[Request] = []
        self.dead: set[str] = set()
        self.replies: dict[str, Answer] = {}

    def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: the place is dead.
        """
        self.asked.append(request)
        if any(request.url.startswith(place) for place in self.dead):
            raise TransportError("the simulated server is dead")
        reply = next((reply for place, reply in self.replies.items() if request.url.startswith(place)), None)
        if reply is None:
            try:
                reply = self.session.answer(request.method, request.url, request.body)
            except (ValueError, InvalidTag):
                if request.url != RELAY_URL:
                    raise
                reply = Answer(400, {"Content-Type": "application/json"}, b'{"detail":"decapsulation failed"}')
        headers = {header: (value,) for header, value in reply.headers.items()}
        return Response(status=reply.status, headers=headers, body=reply.body)

    def replace(self, url: str, body: bytes, status: int = 200, content_type: str = "application/json") -> None:
        """Answer requests for a URL (its beginning) with this body."""
        self.replies[url] = evolve(Answer(status, {}, body), headers={"Content-Type": content_type})
