"""Who the application is: identity events count only at the places where the guest OS writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.claims.dstack import MeasuredIdentity
from teeverify.claims.problem import Problem, ProblemKind
from teeverify.derivation.dstack import derive_dstack, read_identity
from teeverify.errors import FormatError
from teeverify.formats.event_log import EventLog, parse_event_log
from teeverify.testing.event_log import runtime_event

from . import real

APP, COMPOSE, INSTANCE, IMAGE = b"\x01" * 20, b"\x02" * 32, b"\x03" * 20, b"\x04" * 32
PROVIDER = b'{"name":"kms","id":"3059"}'
CODES = {"event_order", "event_missing", "event_repeated", "event_payload"}

Entry = tuple[str, bytes]
GOOD: tuple[Entry, ...] = (
    ("system-preparing", b""),
    ("app-id", APP),
    ("compose-hash", COMPOSE),
    ("instance-id", INSTANCE),
    ("boot-mr-done", b""),
    ("mr-kms", b"\x05" * 32),
    ("os-image-hash", IMAGE),
    ("key-provider", PROVIDER),
    ("storage-fs", b"zfs"),
    ("system-ready", b""),
)
BOOT_DONE, READY = 4, 9


def log_of(*entries: Entry) -> EventLog:
    boot = {"imr": 0, "event_type": 1, "digest": "00" * 48, "event": "", "event_payload": "66" * 32}
    return parse_event_log([boot, *(runtime_event(*entry).row(sorted_keys=False) for entry in entries)])


def read(*entries: Entry) -> MeasuredIdentity:
    return read_identity(log_of(*entries))


def code_of(*entries: Entry) -> str:
    with pytest.raises(FormatError) as refused:
        read(*entries)
    return refused.value.code


def without(*names: str) -> tuple[Entry, ...]:
    return tuple(entry for entry in GOOD if entry[0] not in names)


def put(place: int, *entries: Entry, base: tuple[Entry, ...] = GOOD) -> tuple[Entry, ...]:
    return (*base[:place], *entries, *base[place:])


def replaced(name: str, payload: bytes) -> tuple[Entry, ...]:
    return tuple((entry[0], payload) if entry[0] == name else entry for entry in GOOD)


def test_a_good_boot() -> None:
    identity = read(*GOOD)
    assert (identity.app_id, identity.compose_hash, identity.instance_id) == (APP, COMPOSE, INSTANCE)
    assert (identity.os_image_hash, identity.key_provider_payload) == (IMAGE, PROVIDER)
    assert (identity.key_provider.name, identity.key_provider.id) == ("kms", b"\x30\x59")
    assert identity.later_names == ()


@pytest.mark.parametrize("name", ["app-id", "compose-hash", "instance-id", "os-image-hash", "key-provider"])
def test_an_identity_event_must_stand_once_on_its_side_before_ready(name: str) -> None:
    entry = next(entry for entry in GOOD if entry[0] == name)
    early = name in ("app-id", "compose-hash", "instance-id")
    rest = without(name)
    ready = len(rest) - 1
    boot_done = next(i for i, (other, _) in enumerate(rest) if other == "boot-mr-done")
    assert code_of(*rest) == "event_missing"
    assert code_of(*rest, entry) == "event_missing"  # only an application could have written it there
    assert code_of(*put(0, entry, base=rest)) == "event_order"
    wrong_side = ready if early else boot_done
    assert code_of(*put(wrong_side, entry, base=rest)) == "event_order"
    for place in range(1, len(GOOD)):
        assert code_of(*put(place, entry)) == "event_repeated", place
        assert code_of(*put(place, (name, b"\x66" * len(entry[1])))) == "event_repeated", place


@pytest.mark.parametrize("name", ["app-id", "compose-hash", "instance-id", "os-image-hash", "key-provider", "mr-kms"])
def test_events_after_ready_count_for_nothing(name: str) -> None:
    identity = read(*GOOD, (name, b"\x66" * 32), ("anything", b""), (name, b""))
    assert identity == read(*GOOD).__class__(
        app_id=APP,
        compose_hash=COMPOSE,
        instance_id=INSTANCE,
        os_image_hash=IMAGE,
        key_provider=identity.key_provider,
        key_provider_payload=PROVIDER,
        later_names=(name, name),
    )


@pytest.mark.parametrize("marker", ["system-preparing", "boot-mr-done", "system-ready"])
def test_a_missing_marker(marker: str) -> None:
    assert code_of(*without(marker)) == "event_order"


@pytest.mark.parametrize(
    "entries",
    [
        (("app-id", APP), *GOOD),  # not first
        put(1, ("system-preparing", b"")),
        put(BOOT_DONE, ("boot-mr-done", b"")),
        put(READY, ("boot-mr-done", b"")),
        put(READY, ("system-preparing", b"")),
        (*without("boot-mr-done"), ("boot-mr-done", b"")),
        put(1, ("system-ready", b"")),  # an early second marker moves the end of the boot forward
        put(BOOT_DONE, ("system-ready", b"")),
    ],
)
def test_markers_in_another_order(entries: tuple[Entry, ...]) -> None:
    assert code_of(*entries) in ("event_order", "event_missing")


def test_a_second_boot_after_ready_is_the_applications_own() -> None:
    evil = (("system-preparing", b""), ("compose-hash", b"\x66" * 32), ("boot-mr-done", b""), ("system-ready", b""))
    identity = read(*GOOD, *evil)
    assert identity.compose_hash == COMPOSE
    assert identity.later_names == ("compose-hash",)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("app-id", (0, 19, 21, 32)), ("compose-hash", (0, 20, 31, 33)), ("instance-id", (1, 19, 21)),
     ("os-image-hash", (0, 31, 33))],
)  # fmt: skip
def test_payload_sizes(name: str, sizes: tuple[int, ...]) -> None:
    for size in sizes:
        assert code_of(*replaced(name, bytes(size))) == "event_payload"


def test_an_instance_id_may_be_empty() -> None:
    assert read(*replaced("instance-id", b"")).instance_id == b""


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"kms",
        b"[]",
        b'{"name":"kms"}',
        b'{"name":"kms","id":"00","x":1}',
        b'{"name":"local","id":"00","name":"kms"}',
        b'{"name":1,"id":"00"}',
        b'{"name":"kms","id":"0"}',
        b'{"name":"kms","id":null}',
        b'{"name":"kms","id":"00"}x',
        b'{"name":"\xff","id":"00"}',
        b'{"name":"kms","id":"' + b"00" * 5000 + b'"}',
    ],
)
def test_bad_key_providers(payload: bytes) -> None:
    assert code_of(*replaced("key-provider", payload)) == "event_payload"


def test_a_log_without_runtime_events() -> None:
    assert code_of() == "event_order"


def test_the_log_beside_the_registers_counts_and_every_copy_is_kept() -> None:
    inner = json.loads(json.dumps(list(rows(*GOOD))))
    outer = rows(*replaced("compose-hash", b"\x66" * 32))
    claims = derive_dstack({"event_log": outer}, {"tcb_info": {"event_log": inner}}, memo={})
    assert not isinstance(claims.identity, Problem)
    assert claims.identity.compose_hash == COMPOSE
    assert len(claims.logs) == 2
    same = derive_dstack({"event_log": inner}, {"tcb_info": json.dumps({"event_log": inner})}, memo={})
    assert len(same.logs) == 1


def test_a_bad_copy_is_a_problem_and_not_skipped() -> None:
    claims = derive_dstack({"event_log": rows(*GOOD)}, {"tcb_info": {"event_log": [{}]}}, memo={})
    kinds = [log.kind for log in claims.logs if isinstance(log, Problem)]
    assert kinds == [ProblemKind.MALFORMED]
    nothing = derive_dstack({}, {}, memo={})
    assert isinstance(nothing.identity, Problem)
    assert nothing.identity.kind is ProblemKind.ABSENT


def rows(*entries: Entry) -> list[dict[str, Any]]:
    return [runtime_event(*entry).row(sorted_keys=False) for entry in entries]


def is_good_boot(names: list[str]) -> bool:
    """The rule again, in other words."""
    if names[:1] != ["system-preparing"] or "system-ready" not in names or "boot-mr-done" not in names:
        return False
    before = names[: names.index("system-ready")]
    once = (
        "system-preparing",
        "boot-mr-done",
        "app-id",
        "compose-hash",
        "instance-id",
        "os-image-hash",
        "key-provider",
    )
    if any(before.count(name) != 1 for name in once):
        return False
    place = {name: before.index(name) for name in once}
    return all(place[name] < place["boot-mr-done"] for name in once[2:5]) and all(
        place[name] > place["boot-mr-done"] for name in once[5:]
    )


@given(st.lists(st.sampled_from(GOOD), max_size=14) | st.permutations(GOOD))
def test_any_sequence_is_read_by_the_rule_or_refused(entries: list[Entry]) -> None:
    if is_good_boot([name for name, _ in entries]):
        assert read(*entries).compose_hash == COMPOSE
    else:
        assert code_of(*entries) in CODES


def test_real_guests_show_their_identity() -> None:
    for guest in real.guests():
        identity = guest.dstack.identity
        assert not isinstance(identity, Problem), guest.where
        assert identity.key_provider.name == "kms"
        assert identity.key_provider.id.startswith(bytes.fromhex("3059301306072a8648ce3d0201"))
        assert identity.later_names == ()
