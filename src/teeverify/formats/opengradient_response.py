"""Whole answers of OpenGradient's gateway, as they come out of the decryption of a request that asked for no stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import FormatError
from .opengradient_answer import (
    SIGNED_FIELDS,
    TOOL_CALLS,
    SignedAnswer,
    Unsigned,
    read_signed_fields,
    read_tool_calls,
    require_no_error,
)
from .opengradient_json import gateway_json, joined_text, only_choice, optional_object, optional_text, read_object
from .strict_json import JsonValue

__all__ = ["parse_chat_answer", "parse_completion_answer", "parse_web_search_answer"]

_ANSWER: Final = "the answer"


def parse_chat_answer(body: bytes, *, digits_as_timestamp: bool = False) -> SignedAnswer:
    """Read an answer that is no stream, bare or in the enclave's envelope of a status below 300.

    Raises:
        FormatError: ``answer_error`` (the enclave answered with an error), ``answer_choices``, ``answer_shape``,
            ``answer_content``, ``answer_tool_calls``, ``answer_unsigned_calls`` (tool calls beside signed text), and
            the codes of `read_signed_fields` and `strict_json.loads`.
    """
    document = _bare(body)
    choice = _choice(document)
    message = optional_object(choice.get("message"), what="the message")
    finish_reason = optional_text(choice.get("finish_reason"), what="finish_reason")
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise FormatError("answer_tool_calls", f"{_ANSWER} holds tool_calls that are not a list")
    text = joined_text(message.get("content"), what="the message")
    if calls and finish_reason != TOOL_CALLS:
        raise FormatError("answer_unsigned_calls", f"{_ANSWER} holds tool calls beside the text that is signed")
    return SignedAnswer(
        kind="tool_calls" if calls else "text",
        signed_output=gateway_json(calls) if calls else text,
        tool_calls=read_tool_calls(calls or []),
        fields=read_signed_fields(document, digits_as_timestamp=digits_as_timestamp),
        unsigned=Unsigned(
            finish_reason=finish_reason,
            text=(text or None) if calls else None,
            members=_others(document, "choices", *SIGNED_FIELDS),
            message=_others(message, "content", "tool_calls", "role"),
        ),
    )


def parse_completion_answer(body: bytes, *, digits_as_timestamp: bool = False) -> SignedAnswer:
    """Read an answer of ``/v1/completions``; the text of its one choice is signed.

    Raises:
        FormatError: as `parse_chat_answer`.
    """
    document = _bare(body)
    choice = _choice(document)
    return SignedAnswer(
        kind="text",
        signed_output=optional_text(choice.get("text"), what="the text") or "",
        fields=read_signed_fields(document, digits_as_timestamp=digits_as_timestamp),
        unsigned=Unsigned(
            finish_reason=optional_text(choice.get("finish_reason"), what="finish_reason"),
            members=_others(document, "choices", *SIGNED_FIELDS),
            message=_others(choice, "text", "index", "finish_reason"),
        ),
    )


def parse_web_search_answer(body: bytes, *, digits_as_timestamp: bool = False) -> SignedAnswer:
    """Read an answer of ``/v1/web_search``; ``content`` is signed.

    Raises:
        FormatError: as `parse_chat_answer`.
    """
    document = _bare(body)
    return SignedAnswer(
        kind="text",
        signed_output=optional_text(document.get("content"), what="the content") or "",
        fields=read_signed_fields(document, digits_as_timestamp=digits_as_timestamp),
        unsigned=Unsigned(members=_others(document, "content", *SIGNED_FIELDS)),
    )


def _bare(body: bytes) -> dict[str, JsonValue]:
    """The answer itself: the body, or what is in the envelope ``{"status", "body"}``. Neither form skips any rule."""
    document = read_object(body, what=_ANSWER)
    require_no_error(document)
    if "status" not in document or "body" not in document:
        return document
    status, inner = document["status"], document["body"]
    if set(document) != {"status", "body"} or type(status) is not int:
        raise FormatError("answer_shape", f"{_ANSWER} is an envelope of a form that is not known")
    if not 200 <= status < 300:
        raise FormatError("answer_error", f"the enclave answered with status {status}")
    if not isinstance(inner, dict):
        raise FormatError("answer_shape", f"{_ANSWER} is an envelope without an object in it")
    require_no_error(inner)
    return inner


def _choice(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    choice = only_choice(document, what=_ANSWER)
    if choice is None:
        raise FormatError("answer_choices", f"{_ANSWER} holds no choice")
    return choice


def _others(members: Mapping[str, JsonValue], *known: str) -> dict[str, JsonValue]:
    return {name: value for name, value in members.items() if name not in known}
