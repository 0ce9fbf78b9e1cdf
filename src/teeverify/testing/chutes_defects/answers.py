"""Faults of whole answers: lists of models that do not name one chute, and bodies that nobody should send."""

from __future__ import annotations

from typing import Any, Final

from teeverify.limits import MAX_INSTANCES
from teeverify.testing.chutes import ChutesSession
from teeverify.testing.recording import compact, replace_body

from .model import EVIDENCE, INCONCLUSIVE, KEYS, MODELS, ChutesDefect, answer, session

__all__ = ["ANSWERS", "HOSTILE_BODIES", "MODEL_LISTS"]

_DEEP: Final = b"[" * 5000 + b"]" * 5000
HOSTILE_BODIES: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a page": b"<!doctype html><title>502</title>",
    "no object": b"[]",
    "null": b"null",
    "not UTF-8": b'{"a":"\xff"}',
    "surrogate": b'{"evidence":[{"instance_id":"\\ud800"}],"instances":[{"instance_id":"\\ud800"}]}',
    "not a number": b'{"evidence":NaN,"instances":NaN}',
    "a repeated key": b'{"evidence":[],"evidence":[],"instances":[],"instances":[]}',
    "deep": b'{"evidence":' + _DEEP + b',"instances":' + _DEEP + b"}",
    "deep inside": b'{"evidence":[{"a":' + _DEEP[4900:5100] + b'}],"instances":[{"a":' + _DEEP[4900:5100] + b"}]}",
    "other types": b'{"evidence":{"a":1},"instances":"x"}',
    "lists of others": b'{"evidence":[1],"instances":[null]}',
    "too many": compact({name: [{}] * (MAX_INSTANCES + 1) for name in ("evidence", "instances")}),
    "as many as may be": compact({name: [{}] * MAX_INSTANCES for name in ("evidence", "instances")}),
    "empty": b'{"evidence":[],"instances":[],"failed_instance_ids":[]}',
    "nulls": b'{"evidence":null,"instances":null,"failed_instance_ids":null}',
    "losses of another type": b'{"evidence":[],"instances":[],"failed_instance_ids":[1]}',
    "a long id": compact({name: [{"instance_id": "a" * 100_000}] for name in ("evidence", "instances")}),
    "ids that are none": compact(
        {name: [{"instance_id": one} for one in ("", "\u202e", "../x", "0" * 36)] for name in ("evidence", "instances")}
    ),
}
"""Bodies that are no good answer about keys or evidence, each by a few words."""

MODEL_LISTS: Final[dict[str, Any]] = {
    "another chute": lambda rows, row: row.update(chute_id=rows[0]["chute_id"]),
    "two chutes": lambda rows, row: rows.append({**row, "chute_id": rows[0]["chute_id"]}),
    "not there": lambda rows, row: rows.remove(row),
    "part of a name": lambda _, row: row.update(id=f"{row['id']}-2"),
    "other case": lambda _, row: row.update(id=row["id"].upper()),
    "no chute id": lambda _, row: row.update(chute_id=None),
    "a path": lambda _, row: row.update(chute_id="../" + row["chute_id"]),
}
"""Changes of the list of models, called with all its rows and the session's own, after which it names no one chute."""


def _listed(name: str, change: Any) -> ChutesDefect:
    return answer(
        f"model-{_slug(name)}",
        MODELS,
        lambda document: change(document["data"], document["data"][1]),
        f"The list of models, for the model: {name}.",
        "evidence.complete",
        "evidence.wellformed",
        outcome=INCONCLUSIVE,
    )


def _body(what: str, part: str, name: str, body: bytes) -> ChutesDefect:
    def replaced(whole: ChutesSession) -> Any:
        return replace_body(whole.saved(), part, body)

    return session(
        f"{what}-body-{_slug(name)}",
        replaced,
        f"The answer with the {what}: {name}.",
        "evidence.complete",
    )


def _slug(words: str) -> str:
    return words.lower().replace(" ", "-")


ANSWERS: Final[tuple[ChutesDefect, ...]] = (
    *(_listed(name, change) for name, change in MODEL_LISTS.items()),
    *(_body("evidence", EVIDENCE, name, body) for name, body in HOSTILE_BODIES.items()),
    *(_body("keys", KEYS, name, body) for name, body in HOSTILE_BODIES.items()),
)
"""Lists of models, then answers with evidence and with keys."""
