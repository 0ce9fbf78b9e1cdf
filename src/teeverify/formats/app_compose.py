"""app-compose: the document that tells a dstack guest which containers to run.

Its hash is taken over the exact text that came (dstack, compose hash = SHA-256 of app-compose.json); it is parsed only
for facts, after hashing, and never serialised again.
"""

from __future__ import annotations

import hashlib

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_APP_COMPOSE
from .strict_json import JsonValue, loads

__all__ = ["AppCompose", "parse_app_compose"]


@frozen(kw_only=True)
class AppCompose:
    """An app-compose document: ``compose_hash`` (32 bytes) over ``text`` as it came, and its name and runner."""

    compose_hash: bytes
    name: str
    runner: str
    text: str = field(repr=False)


def parse_app_compose(value: JsonValue) -> AppCompose:
    """Hash and read an app-compose document.

    Raises:
        FormatError: ``app_compose_shape`` or a code of the JSON reader.
    """
    if not isinstance(value, str):
        raise FormatError("app_compose_shape", f"app_compose is of type {type(value).__name__}, a string was expected")
    document = loads(value, what="app_compose", limit=MAX_APP_COMPOSE)
    if not isinstance(document, dict):
        raise FormatError("app_compose_shape", "app_compose does not hold a JSON object")
    name, runner = document.get("name", ""), document.get("runner", "")
    if not isinstance(name, str) or not isinstance(runner, str):
        raise FormatError("app_compose_shape", "name and runner of app_compose are not strings")
    compose_hash = hashlib.sha256(value.encode("utf-8")).digest()
    return AppCompose(compose_hash=compose_hash, name=name, runner=runner, text=value)
