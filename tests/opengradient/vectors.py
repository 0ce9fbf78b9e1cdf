"""Test vectors of the protocol: one signing key whose private half nobody has, and what it signed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

__all__ = ["EDGE_BODY", "HELLO", "SIGNING_KEY", "VECTORS", "answer_body", "signed_fields"]

VECTORS: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text(encoding="utf-8"))
SIGNING_KEY: Final = base64.b64decode(VECTORS["signing_key"])
HELLO: Final = b'{"model":"gpt-4.1","messages":[{"role":"user","content":"Hello!"}]}'
EDGE_BODY: Final = (
    '{"model":"gpt-4.1","temperature":1,"max_tokens":256,"stop":["\\n\\n"],"top_p":0.5,"n":2,"user":"u","stream":true,'
    '"tool_choice":"auto","web_search":1,"response_format":{"type":"json_object"},"tools":[{"type":"function",'
    '"function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},'
    '"required":["city"]}}}],"messages":[{"role":"developer","content":"Be terse \u2013 \u00fc","name":"x"},'
    '{"role":"user","name":"bob","content":[{"type":"text","text":"look \U0001f600"},{"type":"image_url","image_url":'
    '{"url":"data:image/png;base64,AAAA"}},{"type":"file","file":{"filename":"a.pdf","file_data":'
    '"data:application/pdf;base64,JVBE"}},{"type":"text","text":null},"bare"]},{"role":"assistant","content":null,'
    '"refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":'
    '"{\\"city\\":\\"Z\\"}"},"index":0}]},{"role":"tool","tool_call_id":"call_1","content":"{\\"t\\": 3}",'
    '"name":"get_weather"}]}'
).encode()
"""A request with everything in it that is dropped or changed."""


def signed_fields(case: str) -> dict[str, Any]:
    """The five fields of the vector ``text`` or ``tool_calls``, as the gateway spells them."""
    vector = VECTORS[case]
    return {
        "tee_signature": vector["sig"],
        "tee_request_hash": VECTORS["text"]["request_hash"],
        "tee_output_hash": vector["output_hash"],
        "tee_timestamp": vector["ts"],
        "tee_id": VECTORS["tee_id"],
    }


def answer_body(case: str, **changed: Any) -> bytes:
    """A whole answer of that vector, with members of the document changed; None takes one out."""
    message: dict[str, Any] = {"role": "assistant", "content": VECTORS["text"]["text"]}
    if case == "tool_calls":
        message = {"role": "assistant", "content": None, "tool_calls": VECTORS["tool_calls"]["tool_calls"]}
    finish = "stop" if case == "text" else "tool_calls"
    document = {
        "id": "chatcmpl-1",
        "model": "gpt-4.1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"total_tokens": 3},
        **signed_fields(case),
        **changed,
    }
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()
