"""From a dstack record (event logs, app-compose, info) to claims about the guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..claims.dstack import DstackClaims, KeyProvider, MeasuredIdentity, NamedLog
from ..claims.problem import Problem, ProblemKind
from ..crypto.certificates import CertificateMemo
from ..errors import FormatError
from ..formats.app_compose import AppCompose, parse_app_compose
from ..formats.encodings import decode_hex
from ..formats.event_log import Event, EventLog, parse_event_log
from ..formats.strict_json import JsonValue, loads, same_json
from ..formats.td_hob import checked_memory_size
from ..limits import MAX_EVENT_PAYLOAD
from .app_certificate import derive_app_certificate

__all__ = ["DstackRecord", "derive_dstack", "read_identity"]

DstackRecord = Mapping[str, JsonValue]
"""Members of a record as they stand in the report."""

_BEFORE_BOOT_MR: Final = {"app-id": (20,), "compose-hash": (32,), "instance-id": (0, 20)}
_BEFORE_READY: Final = {"os-image-hash": (32,), "key-provider": None}
_OF_NEWER_GUESTS: Final = {"init-script-hash": (32,), "gpu-policy-hash": (32,), "gpu-attestation": None}
"""Stand before boot-mr-done where there are any; there may be several init scripts."""
_MARKERS: Final = ("system-preparing", "boot-mr-done", "system-ready")
_STATED_SIZES: Final = {
    "app_id": 20,
    "instance_id": 20,
    "compose_hash": 32,
    "device_id": 32,
    "os_image_hash": 32,
    "mr_aggregated": 32,
    "mrtd": 48,
    "rtmr0": 48,
    "rtmr1": 48,
    "rtmr2": 48,
    "rtmr3": 48,
}


def derive_dstack(record: DstackRecord, info: DstackRecord, *, memo: CertificateMemo) -> DstackClaims:
    """Claims of a record that holds ``event_log`` and of the ``info`` object beside it (empty where there is none).

    ``info.tcb_info`` may be an object or a JSON string; every copy of the event log is kept and judged.
    """
    stated: dict[str, bytes | Problem] = {}
    tcb_info = _object(info.get("tcb_info"), "tcb_info", stated)
    vm_config = _object(info.get("vm_config"), "vm_config", stated)
    for where, source in (("info", info), ("tcb_info", tcb_info), ("vm_config", vm_config)):
        for name, size in _STATED_SIZES.items():
            if source.get(name) not in (None, ""):
                stated[f"{where}.{name}"] = _hex(source[name], f"{where}.{name}", size)
    provider_text = info.get("key_provider_info")
    if isinstance(provider_text, str) and provider_text:
        stated["info.key_provider_info"] = provider_text.encode("utf-8")
    elif provider_text not in (None, ""):
        error = FormatError("info_shape", "info.key_provider_info is not a text")
        stated["info.key_provider_info"] = _malformed(error, "key_provider_info")
    logs = _logs(record, tcb_info)
    preferred = next((log for log in logs if isinstance(log, NamedLog)), None)
    return DstackClaims(
        logs=logs,
        identity=_identity(preferred, logs),
        app_compose=_app_compose(tcb_info.get("app_compose")),
        app_certificate=derive_app_certificate(info.get("app_cert"), memo),
        stated=stated,
        memory_size=_memory_size(vm_config, record.get("vm_config")),
        mr_config=_mr_config((record, info, tcb_info), (vm_config, record.get("vm_config"))),
    )


def _mr_config(holders: tuple[DstackRecord, ...], configs: tuple[JsonValue, ...]) -> bytes | Problem | None:
    """The mr_config document: a text of the record, or (older hosts) of its ``vm_config``; all copies alike.

    It is read only where MRCONFIGID is of version 3, so a bad one is no flaw of other records.
    """
    stated = [holder.get("mr_config") for holder in holders]
    stated += [_member_of_config(config, "mr_config") for config in configs]
    found = {one if isinstance(one, str) else None for one in stated if one not in (None, "")}
    if len(found) > 1 or None in found:
        detail = "the record shows several mr_config documents, or one that is no text"
        return Problem(kind=ProblemKind.INVALID, code="mr_config", detail=detail, where="mr_config")
    document = found.pop() if found else None
    return None if document is None else document.encode("utf-8")


def _memory_size(info_config: JsonValue, own_config: JsonValue) -> int | Problem | None:
    """The memory size in bytes that the copies of ``vm_config`` state (``info``'s and the record's own), all alike.

    Malformed is a size that no machine can have, or two sizes. Whatever else is wrong with a copy, it states none.
    """
    try:
        stated = [_member_of_config(config, "memory_size") for config in (info_config, own_config)]
        found = {checked_memory_size(size) for size in stated if size is not None}
        if len(found) > 1:
            raise FormatError("memory_size", "the record states two different memory sizes, one was expected")
    except FormatError as error:
        return _malformed(error, "vm_config.memory_size")
    return found.pop() if found else None


def _member_of_config(config: JsonValue, name: str) -> JsonValue:
    """A member of a ``vm_config``, which is an object or a JSON string, and may be wrapped in another one."""
    for _ in range(2):
        if isinstance(config, str) and config:
            try:
                config = loads(config, what="vm_config", limit=MAX_EVENT_PAYLOAD)
            except FormatError:
                return None
        if not isinstance(config, dict):
            return None
        if config.get(name) is not None:
            return config[name]
        config = config.get("vm_config")
    return None


def _logs(record: DstackRecord, tcb_info: DstackRecord) -> tuple[NamedLog | Problem, ...]:
    """Every copy of the log that differs; the one in ``tcb_info`` first, since guests may strip the outer one."""
    logs: list[NamedLog | Problem] = []
    inner, outer = tcb_info.get("event_log"), record.get("event_log")
    copies = [("info.tcb_info.event_log", inner), ("event_log", None if same_json(outer, inner) else outer)]
    for where, value in copies:
        if value in (None, ""):
            continue
        try:
            logs.append(NamedLog(where=where, log=parse_event_log(value, what=where)))
        except FormatError as error:
            logs.append(_malformed(error, where))
    if not logs:
        detail = "the record holds no event log"
        logs.append(Problem(kind=ProblemKind.ABSENT, code="event_log_missing", detail=detail, where="event_log"))
    return tuple(logs)


def _identity(preferred: NamedLog | None, logs: tuple[NamedLog | Problem, ...]) -> MeasuredIdentity | Problem:
    if preferred is None:
        return next(log for log in logs if isinstance(log, Problem))
    try:
        return read_identity(preferred.log)
    except FormatError as error:
        return Problem(kind=ProblemKind.INVALID, code=error.code, detail=str(error), where=preferred.where)


def read_identity(log: EventLog) -> MeasuredIdentity:
    """Read the identity events of RTMR3 at the places where only the guest OS writes.

    dstack emits ``system-preparing`` first; app-id, compose-hash and instance-id before ``boot-mr-done``; os-image-hash
    and key-provider before ``system-ready``. Anything after that is extended by the application, which may use any
    name.

    Raises:
        FormatError: ``event_order``, ``event_missing``, ``event_repeated`` or ``event_payload``.
    """
    events = log.runtime
    names = [event.name for event in events]
    if not names or names[0] != _MARKERS[0] or any(names.count(marker) == 0 for marker in _MARKERS):
        raise FormatError("event_order", "RTMR3 does not begin with system-preparing and reach system-ready")
    boot, ready = names.index(_MARKERS[1]), names.index(_MARKERS[2])
    if boot > ready or any(names[:ready].count(marker) > 1 for marker in _MARKERS):
        raise FormatError("event_order", "the markers of the boot stand in another order than dstack emits them")
    found = {name: _only(events, name, 0, boot, ready, sizes) for name, sizes in _BEFORE_BOOT_MR.items()}
    found |= {name: _only(events, name, boot, ready, ready, sizes) for name, sizes in _BEFORE_READY.items()}
    newer = {name: _early(events, name, boot, ready, sizes) for name, sizes in _OF_NEWER_GUESTS.items()}
    if any(len(newer[name]) > 1 for name in ("gpu-policy-hash", "gpu-attestation")):
        raise FormatError("event_repeated", "RTMR3 has several GPU events of one name before system-ready")
    identity_names = {*_BEFORE_BOOT_MR, *_BEFORE_READY, *_OF_NEWER_GUESTS, "mr-kms"}
    return MeasuredIdentity(
        app_id=found["app-id"],
        compose_hash=found["compose-hash"],
        instance_id=found["instance-id"],
        os_image_hash=found["os-image-hash"],
        key_provider=_key_provider(found["key-provider"]),
        key_provider_payload=found["key-provider"],
        later_names=tuple(name for name in names[ready + 1 :] if name in identity_names),
        init_script_hashes=newer["init-script-hash"],
        gpu_policy_hash=next(iter(newer["gpu-policy-hash"]), None),
    )


def _early(
    events: tuple[Event, ...], name: str, boot: int, ready: int, sizes: tuple[int, ...] | None
) -> tuple[bytes, ...]:
    """Payloads of all events of that name before ``system-ready``, which must stand before ``boot-mr-done``."""
    places = [i for i in range(ready) if events[i].name == name]
    if any(place > boot for place in places):
        raise FormatError("event_order", f"an {name} event of RTMR3 stands after boot-mr-done")
    payloads = tuple(events[place].payload for place in places)
    if sizes is not None and any(len(payload) not in sizes for payload in payloads):
        raise FormatError("event_payload", f"an {name} event has a payload of another length than {sizes[0]} bytes")
    return payloads


def _only(
    events: tuple[Event, ...], name: str, start: int, stop: int, ready: int, sizes: tuple[int, ...] | None
) -> bytes:
    """Payload of the one event of that name before ``system-ready``, which must stand between the two markers."""
    places = [i for i in range(ready) if events[i].name == name]
    if not places:
        raise FormatError("event_missing", f"RTMR3 has no {name} event before system-ready")
    if len(places) > 1:
        raise FormatError(
            "event_repeated", f"RTMR3 has {len(places)} {name} events before system-ready, one was expected"
        )
    if not start < places[0] < stop:
        raise FormatError("event_order", f"the {name} event of RTMR3 stands on the wrong side of boot-mr-done")
    payload = events[places[0]].payload
    if sizes is not None and len(payload) not in sizes:
        raise FormatError("event_payload", f"the {name} event has {len(payload)} bytes of payload")
    return payload


def _key_provider(payload: bytes) -> KeyProvider:
    try:
        document = loads(payload, what="the key-provider event", limit=MAX_EVENT_PAYLOAD)
        if not isinstance(document, dict) or set(document) != {"name", "id"} or not isinstance(document["name"], str):
            raise FormatError("event_payload", "the key-provider event is not an object with exactly name and id")
        return KeyProvider(name=document["name"], id=decode_hex(document["id"], what="key provider id", limit=4096))
    except FormatError as error:
        raise FormatError("event_payload", str(error)) from None


def _app_compose(value: JsonValue) -> AppCompose | Problem:
    if value in (None, ""):
        detail = "the record holds no app-compose document"
        return Problem(kind=ProblemKind.ABSENT, code="app_compose_missing", detail=detail, where="app_compose")
    try:
        return parse_app_compose(value)
    except FormatError as error:
        return _malformed(error, "app_compose")


def _object(value: JsonValue, what: str, stated: dict[str, bytes | Problem]) -> DstackRecord:
    """An object, or a JSON string holding one; problems are kept under ``what``."""
    try:
        if isinstance(value, str) and value:
            value = loads(value, what=what, limit=8 << 20)
        if isinstance(value, dict):
            return value
        if value not in (None, ""):
            raise FormatError("info_shape", f"{what} is of type {type(value).__name__}, an object was expected")
    except FormatError as error:
        stated[what] = _malformed(error, what)
    return {}


def _hex(value: JsonValue, what: str, size: int) -> bytes | Problem:
    try:
        return decode_hex(value, what=what, size=size)
    except FormatError as error:
        return _malformed(error, what)


def _malformed(error: FormatError, where: str) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where=where)
