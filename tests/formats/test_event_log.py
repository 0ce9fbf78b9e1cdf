"""Event logs: shape, digests of both versions against an independent computation, and replay."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.claims.problem import Problem
from teeverify.errors import FormatError
from teeverify.formats.event_log import RUNTIME_EVENT, Event, parse_event_log, replay, runtime_digest
from teeverify.limits import MAX_EVENT_PAYLOAD, MAX_EVENTS

from . import real
from .attempts import Refused, attempt

CODES = {"event_log_shape", "event_shape", "event_version", "not_hex", "wrong_length"}
JSON_CODES = {"json_syntax", "json_duplicate_key", "json_number", "json_too_deep", "json_surrogate", "json_too_large"}
BOOT = "6a" * 48


def digest_v1(name: str, payload: bytes) -> bytes:
    return hashlib.sha384(b"\x01\x00\x00\x08:" + name.encode() + b":" + payload).digest()


def preimage_v2(name: str, payload: bytes) -> bytes:
    return b'{"name":"' + name.encode() + b'","payload":"' + payload.hex().encode() + b'","type":134217729}'


def row(name: str = "app-id", payload: str = "00ff", **changes: Any) -> dict[str, Any]:
    """A runtime event of version 1 that holds; ``changes`` replace members, ``...`` takes one away."""
    base = {"imr": 3, "event_type": 134217729, "event": name, "event_payload": payload}
    members: dict[str, Any] = {**base, "digest": digest_v1(name, bytes.fromhex(payload)).hex(), **changes}
    return {key: value for key, value in members.items() if value is not ...}


def row_v2(name: str = "app-id", payload: str = "00ff", **changes: Any) -> dict[str, Any]:
    preimage = preimage_v2(name, bytes.fromhex(payload))
    own = {"version": 2, "digest": hashlib.sha384(preimage).hexdigest(), "preimage": preimage.hex()}
    return row(name, payload, **{**own, **changes})


def boot_row(imr: int = 0, **changes: Any) -> dict[str, Any]:
    return {"imr": imr, "event_type": 1, "digest": BOOT, "event": "", "event_payload": "", **changes}


def code_of(value: object) -> str:
    with pytest.raises(FormatError) as refused:
        parse_event_log(value)
    return refused.value.code


def only(entry: dict[str, Any]) -> Event:
    (event,) = parse_event_log([entry]).events
    return event


def test_the_event_type_is_dstacks() -> None:
    assert RUNTIME_EVENT == 0x08000001 == 134217729


@pytest.mark.parametrize("payload", ["", "00", "ff" * 300])
@pytest.mark.parametrize("name", ["a", "system-ready", "a" * 64])
def test_digests_of_both_versions(name: str, payload: str) -> None:
    for entry in (row(name, payload), row(name, payload, version=1), row_v2(name, payload)):
        event = only(entry)
        assert event.digest == runtime_digest(event)
        assert (event.name, event.payload.hex(), event.is_runtime) == (name, payload, True)
    assert only(row(name, payload)).digest != only(row_v2(name, payload)).digest


def test_a_payload_in_upper_case_has_the_digest_of_its_bytes() -> None:
    event = only(row_v2("app-id", "00ff", event_payload="00FF"))
    assert event.digest == runtime_digest(event)


def test_the_declared_version_decides_the_digest() -> None:
    claimed = only(row_v2(version=1, preimage=...))
    assert claimed.digest != runtime_digest(claimed)


def test_a_list_and_a_text_with_the_list_are_the_same() -> None:
    rows = [boot_row(), row(), row_v2()]
    assert parse_event_log(rows) == parse_event_log(json.dumps(rows))
    assert len(parse_event_log(rows).runtime) == 2


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "event_log_shape"),
        ({}, "event_log_shape"),
        (7, "event_log_shape"),
        ([], "event_log_shape"),
        ('"[]"', "event_log_shape"),
        ("{}", "event_log_shape"),
        ([boot_row()] * (MAX_EVENTS + 1), "event_log_shape"),
        ("[", "json_syntax"),
        ("", "json_syntax"),
        ("[" * 50 + "]" * 50, "json_too_deep"),
        (["x"], "event_shape"),
        ([[]], "event_shape"),
        ([None], "event_shape"),
    ],
)
def test_refused_logs(value: object, code: str) -> None:
    assert code_of(value) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"imr": ...}, "event_shape"),
        ({"imr": 4}, "event_shape"),
        ({"imr": -1}, "event_shape"),
        ({"imr": True}, "event_shape"),
        ({"imr": 3.0}, "event_shape"),
        ({"imr": "3"}, "event_shape"),
        ({"event_type": ...}, "event_shape"),
        ({"event_type": -1}, "event_shape"),
        ({"event_type": 2**32}, "event_shape"),
        ({"event_type": 2**32 + 134217729}, "event_shape"),
        ({"event_type": 134217729.0}, "event_shape"),
        ({"event_type": 1}, "event_shape"),  # hidden from look-ups by name, but in the chain
        ({"imr": 0}, "event_shape"),
        ({"imr": 1}, "event_shape"),
        ({"imr": 2}, "event_shape"),
        ({"event": ...}, "event_shape"),
        ({"event": None}, "event_shape"),
        ({"event": ""}, "event_shape"),
        ({"event": "app-id:00"}, "event_shape"),
        ({"event": ":"}, "event_shape"),
        ({"event": "App-id"}, "event_shape"),
        ({"event": "app_id"}, "event_shape"),
        ({"event": "app-id\n"}, "event_shape"),
        ({"event": "app-id "}, "event_shape"),
        ({"event": "app\N{NON-BREAKING HYPHEN}id"}, "event_shape"),
        ({"event": "1app"}, "event_shape"),
        ({"event": "a" * 65}, "event_shape"),
        ({"event": "a" * 300}, "event_shape"),
        ({"version": 0}, "event_version"),
        ({"version": 3}, "event_version"),
        ({"version": None}, "event_version"),
        ({"version": True}, "event_version"),
        ({"version": 1.0}, "event_version"),
        ({"version": "1"}, "event_version"),
        ({"digest": ...}, "not_hex"),
        ({"digest": None}, "not_hex"),
        ({"digest": "zz"}, "not_hex"),
        ({"digest": "00" * 32}, "event_shape"),
        ({"digest": "00" * 47}, "event_shape"),
        ({"digest": "00" * 49}, "wrong_length"),
        ({"event_payload": ...}, "not_hex"),
        ({"event_payload": None}, "not_hex"),
        ({"event_payload": "0"}, "not_hex"),
        ({"event_payload": " 00"}, "not_hex"),
        ({"event_payload": "00" * (MAX_EVENT_PAYLOAD + 1)}, "wrong_length"),
    ],
)
def test_refused_runtime_events(changes: dict[str, Any], code: str) -> None:
    assert code_of([row(**changes)]) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": ""}, "event_shape"),  # only runtime digests can be recomputed
        ({"digest": "00" * 32}, "event_shape"),
        ({"event_type": 134217729}, "event_shape"),
        ({"imr": 3}, "event_shape"),
        ({"version": 5}, "event_version"),
    ],
)
def test_refused_boot_events(changes: dict[str, Any], code: str) -> None:
    assert code_of([boot_row(**changes)]) == code


@pytest.mark.parametrize(
    "preimage",
    [
        "",
        preimage_v2("app-id", b"\x00").hex(),
        preimage_v2("app-ix", b"\x00\xff").hex(),
        preimage_v2("app-id", b"\x00\xff").replace(b":", b": ").hex(),
        (preimage_v2("app-id", b"\x00\xff") + b" ").hex(),
        preimage_v2("app-id", b"\x00\xff").replace(b"134217729", b"134217730").hex(),
    ],
)
def test_a_preimage_must_be_made_of_the_event(preimage: str) -> None:
    assert code_of([row_v2(preimage=preimage)]) == "event_shape"


def test_a_preimage_that_is_no_hex() -> None:
    assert code_of([row_v2(preimage=None)]) == "not_hex"


# --- replay ---------------------------------------------------------------------------------------------------------


def extended(*digests: bytes) -> bytes:
    register = bytes(48)
    for digest in digests:
        register = hashlib.sha384(register + digest).digest()
    return register


def test_replay_extends_each_register_in_order() -> None:
    first, second = "01" * 48, "02" * 48
    log = parse_event_log(
        [boot_row(digest=first), boot_row(1), boot_row(digest=second), row("a", "00"), boot_row(2), row_v2("b", "01")]
    )
    boot = bytes.fromhex(BOOT)
    assert replay(log) == (
        extended(bytes.fromhex(first), bytes.fromhex(second)),
        extended(boot),
        extended(boot),
        extended(digest_v1("a", b"\0"), hashlib.sha384(preimage_v2("b", b"\1")).digest()),
    )


def test_stripped_runtime_digests_are_recomputed() -> None:
    full, stripped = [row(), row_v2()], [row(digest=""), row_v2(digest="")]
    assert replay(parse_event_log(full)) == replay(parse_event_log(stripped))
    assert [event.digest for event in parse_event_log(stripped).events] == [b"", b""]


def test_a_stated_runtime_digest_is_never_extended() -> None:
    forged = row(payload="ee", digest=row()["digest"])
    assert replay(parse_event_log([forged])) == replay(parse_event_log([row(payload="ee")]))
    assert replay(parse_event_log([forged])) != replay(parse_event_log([row()]))


def test_real_logs_have_their_digests_and_replay_to_their_quotes() -> None:
    guests = real.guests()
    assert len(guests) >= 8
    for guest in guests:
        for copy in guest.dstack.logs:
            assert not isinstance(copy, Problem)
            assert replay(copy.log) == guest.report.rtmrs, guest.where
            assert all(event.digest in (b"", runtime_digest(event)) for event in copy.log.runtime)


# --- properties -----------------------------------------------------------------------------------------------------

members = st.sampled_from(["imr", "event_type", "digest", "event", "event_payload", "version", "preimage", "x"])
scalars: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-2, 2**33) | st.floats() | st.text(max_size=6) | st.just([{}])
)


@given(st.lists(st.dictionaries(members, scalars, max_size=7) | scalars, max_size=3) | scalars)
def test_arbitrary_values_raise_nothing_else(value: object) -> None:
    result = attempt(lambda: parse_event_log(value))
    assert not isinstance(result, Refused) or result.code in CODES | JSON_CODES


@given(st.booleans(), members, scalars)
def test_mutated_events_raise_nothing_else(second: bool, member: str, value: object) -> None:
    entry = {**(row_v2() if second else row()), member: value}
    event = attempt(lambda: only(entry))
    if isinstance(event, Refused):
        assert event.code in CODES
    else:
        assert len(replay(parse_event_log([entry]))) == 4
        assert event.imr == 3


name_texts = st.from_regex(r"\A[a-z][a-z0-9-]{0,63}\Z")


@given(name_texts, st.binary(max_size=40), name_texts, st.binary(max_size=40))
def test_different_events_have_different_digests(name: str, payload: bytes, other: str, content: bytes) -> None:
    one, two = only(row(name, payload.hex())), only(row(other, content.hex()))
    assert (one.digest == two.digest) == ((name, payload) == (other, content))
    assert one.digest == runtime_digest(one)
