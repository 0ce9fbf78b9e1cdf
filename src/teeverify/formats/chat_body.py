"""What little has to be known of an OpenAI-compatible request and response: a stream or not, its end, its id.

Digests are taken over the bytes themselves. Nothing here changes them, and a body that cannot be read has no id.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Final

from ..errors import FormatError
from ..limits import MAX_CHAT_BODY, MAX_CHAT_ID
from .strict_json import JsonValue, loads

__all__ = ["asks_for_stream", "chat_id_of", "is_finished", "is_stream", "respelled"]

_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_CHAT_ID}}}\Z")
_MAX_PLAIN: Final = 8 << 20
"""Bytes of a plain answer that is read for its id; the caller gives the id of a longer one."""
_DONE: Final = b"[DONE]"
_EVENT: Final = re.compile(rb"(?:\A|(?<=[\r\n]))data:([^\r\n]*)")
_SAYS_STREAM: Final = re.compile(rb'"stream"[ \t\r\n]*:[ \t\r\n]*true')
_FIRST_LINE: Final = re.compile(rb"[\r\n]*(?:data:|event:|id:|retry:|:)")
_FIRST_BYTES: Final = 1 << 20
_FIRST_EVENTS: Final = 8
"""Where in a stream the event that carries the id must be."""


def asks_for_stream(request_body: bytes) -> bool:
    """True when a request asks for a streamed answer.

    A body that the strict reader refuses asks for one where it says so anywhere: servers read more leniently, for
    instance half of a surrogate pair that a cut emoji leaves behind, and a cut answer must not pass for a plain one.
    """
    document = _object(request_body)
    return _SAYS_STREAM.search(request_body) is not None if document is None else document.get("stream") is True


def is_stream(response_body: bytes) -> bool:
    """True when a response has the form of server-sent events (WHATWG HTML, section 9.2)."""
    return _FIRST_LINE.match(response_body) is not None


def is_finished(response_body: bytes) -> bool:
    """True when the last event of a stream is ``[DONE]``."""
    last = _last_event(response_body)
    if last < 0 or not response_body.endswith((b"\n", b"\r")):
        return False
    event = _EVENT.match(response_body, last)
    return event is not None and event.group(1).strip() == _DONE


def _last_event(body: bytes) -> int:
    """Where the last line begins that starts with ``data:``; -1 without one."""
    start = len(body)
    while (start := body.rfind(b"data:", 0, start)) > 0 and body[start - 1] not in b"\r\n":
        pass
    return start


def chat_id_of(response_body: bytes) -> str | None:
    """The ``id`` of a completion, or of the first chunk of a stream; None where it cannot be read."""
    if is_stream(response_body):
        document = next(_chunks(response_body), None)
    else:
        document = _object(response_body) if len(response_body) <= _MAX_PLAIN else None
    value = None if document is None else document.get("id")
    return value if isinstance(value, str) and _ID.match(value) else None


def respelled(response_body: bytes) -> bytes | None:
    """A plain answer's JSON as Python's ``json.dumps`` spells it, members in their order.

    None where it is no object, or longer than 8 MiB. vllm-proxy hashes this spelling and sends a more compact one
    (Dstack-TEE/vllm-proxy, api/v1/openai).
    """
    document = _object(response_body) if len(response_body) <= _MAX_PLAIN else None
    return None if document is None else json.dumps(document).encode("ascii")


def _chunks(body: bytes) -> Iterator[dict[str, JsonValue]]:
    """The JSON objects among the first events; no more are looked at, since a hostile stream has millions."""
    for event in itertools.islice(_EVENT.finditer(body, 0, _FIRST_BYTES), _FIRST_EVENTS):
        document = _object(event.group(1).strip())
        if document is not None:
            yield document


def _object(body: bytes) -> dict[str, JsonValue] | None:
    try:
        document = loads(body, what="the body", limit=MAX_CHAT_BODY)
    except FormatError:
        return None
    return document if isinstance(document, dict) else None
