"""One request and its response, as exact bytes."""

from __future__ import annotations

import hashlib

from attrs import field, frozen

from .challenge import checked_model
from .errors import ConfigurationError
from .formats.chat_body import asks_for_stream, chat_id_of, is_finished, is_stream
from .limits import MAX_CHAT_BODY, MAX_CHAT_ID

__all__ = ["Exchange"]


@frozen(kw_only=True)
class Exchange:
    """A chat request and its response, byte for byte as they were sent and received.

    Attributes:
        model: canonical name of the model, as in the attestation.
        request_body: the body of the request, before any transfer coding.
        response_body: the body of the response after transfer coding and before anything else (ask with
            ``Accept-Encoding: identity``); of a stream all of it, with every ``data:`` prefix, blank line and the final
            ``data: [DONE]``.
        chat_id: the completion's ``id``; read from the response when omitted.
        receipt_id: the name of the receipt, where a response header gives one (``X-Receipt-Id`` of ACI services).
        peer_spki: DER SubjectPublicKeyInfo of the connection that carried the exchange, where it is known.

    Raises:
        ConfigurationError: a body is not bytes or too long, or another value is not what it should be.
    """

    model: str
    request_body: bytes = field(repr=False)
    response_body: bytes = field(repr=False)
    chat_id: str | None = None
    peer_spki: bytes | None = field(default=None, repr=False)
    receipt_id: str | None = None
    stated_chat_id: str | None = field(init=False, repr=False)
    """The id inside the response, None where it cannot be read."""

    def __attrs_post_init__(self) -> None:
        for name in ("request_body", "response_body"):
            body = getattr(self, name)
            if not isinstance(body, bytes) or len(body) > MAX_CHAT_BODY:
                raise ConfigurationError(f"{name} is not at most {MAX_CHAT_BODY} bytes: pass the exact bytes")
        if self.chat_id is not None and not _is_chat_id(self.chat_id):
            raise ConfigurationError(f"chat_id is not a text of 1 to {MAX_CHAT_ID} printable characters")
        if self.receipt_id is not None and not _is_chat_id(self.receipt_id):
            raise ConfigurationError(f"receipt_id is not a text of 1 to {MAX_CHAT_ID} printable characters")
        if not isinstance(self.peer_spki, bytes | None):
            raise ConfigurationError("peer_spki is not bytes: pass the DER SubjectPublicKeyInfo of the connection")
        checked_model(self.model)
        object.__setattr__(self, "stated_chat_id", chat_id_of(self.response_body))
        if self.chat_id is None:
            object.__setattr__(self, "chat_id", self.stated_chat_id)

    @property
    def request_digest(self) -> bytes:
        """SHA-256 of the request's bytes."""
        return hashlib.sha256(self.request_body).digest()

    @property
    def response_digest(self) -> bytes:
        """SHA-256 of the response's bytes."""
        return hashlib.sha256(self.response_body).digest()

    @property
    def streamed(self) -> bool:
        """True when the request asked for a stream, or the response is one."""
        return is_stream(self.response_body) or asks_for_stream(self.request_body)

    @property
    def finished(self) -> bool:
        """True when the stream came to its ``[DONE]``."""
        return is_finished(self.response_body)


def _is_chat_id(value: object) -> bool:
    named = isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_CHAT_ID
    return named and value not in (".", "..")  # which stand for other places in a path
