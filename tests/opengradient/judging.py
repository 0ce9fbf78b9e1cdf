"""What a check will do with an answer, and answers with a message of the test's choice."""

from __future__ import annotations

from typing import Any, Final

from teeverify.crypto.rsa import load_rsa_key, verify_pss
from teeverify.formats.opengradient_answer import SignedAnswer
from teeverify.formats.opengradient_request import chat_request

from .vectors import HELLO, SIGNING_KEY, answer_body

__all__ = ["REQUEST", "verifies", "with_message"]

KEY: Final = load_rsa_key(SIGNING_KEY, what="the key")
REQUEST: Final = chat_request(HELLO)


def verifies(answer: SignedAnswer, request_hash: bytes = REQUEST.request_hash) -> bool:
    """The signature over the hashes that are computed here, never over reported ones."""
    return verify_pss(KEY, answer.fields.signature, answer.message_hash(request_hash))


def with_message(case: str, finish: str | None = "stop", **message: Any) -> bytes:
    """The answer of a vector with another message."""
    return answer_body(case, choices=[{"index": 0, "message": message, "finish_reason": finish}])
