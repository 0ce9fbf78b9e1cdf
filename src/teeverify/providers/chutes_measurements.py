"""Chutes' own list of accepted measurements: what it says of its images, read strictly. It proves nothing.

`GET /servers/tee/measurements` answers with a list that nobody signs. It serves to *propose* pins to a human
(`teeverify policy pin --from-provider chutes`); no verifier asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from ..claims.problem import Problem
from ..endorsements.answers import good_answer
from ..errors import FormatError
from ..flow import Flow, Request
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_DIRECTORY, MAX_ENDORSEMENT_BODY, MAX_GPUS
from ..policy import BaseImage
from ..policy_fields import describe
from ..policy_proposal import ListedImage
from .chutes_wire import API

__all__ = ["MEASUREMENTS_URL", "MeasurementList", "measurements_flow", "read_measurements"]

MEASUREMENTS_URL: Final = f"{API}/servers/tee/measurements"
_WHAT: Final = "Chutes' list of measurements"
_REGISTERS: Final = ("rtmr0", "rtmr1", "rtmr2", "rtmr3")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}\Z")
_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z ._,:+()\[\]/-]{0,63}\Z")
_MAX_DOTS: Final = 8
"""Dots of a label; four to six are usual. A policy accepts a bounded number on one line."""


@frozen(kw_only=True)
class MeasurementList:
    """The list, read: the images that may be proposed, each tuple once, and a sentence for every other row."""

    images: tuple[ListedImage, ...]
    left_out: tuple[str, ...]


@frozen(kw_only=True)
class _Row:
    number: int
    label: str
    image: BaseImage
    gpu_count: int | None


def measurements_flow() -> Flow[bytes | Problem]:
    """Ask Chutes for its list, without any key; the body of a good answer, or an UNAVAILABLE Problem."""
    request = Request(
        method="GET", url=MEASUREMENTS_URL, headers={"Accept": "application/json"}, limit=MAX_ENDORSEMENT_BODY
    )
    (answer,) = yield (request,)
    good = good_answer(answer, what=_WHAT, where="measurements")
    return good if isinstance(good, Problem) else good.body


def read_measurements(body: bytes) -> MeasurementList:
    """Read the list: a JSON array, an object for each row.

    A row is proposed with all of MRTD and the runtime RTMR0 to RTMR3, or not at all. Left out are rows of another kind
    of TEE, rows that miss a register or have one that is zero or no register, and rows that contradict each other.

    Args:
        body: the answer's body, UTF-8, at most 1 MiB.

    Raises:
        FormatError: it is no list of at most 1000 rows.
    """
    document = loads(body, what=_WHAT, limit=MAX_ENDORSEMENT_BODY)
    if not isinstance(document, list):
        raise FormatError("measurements_shape", f"{_WHAT} is not a JSON list")
    if len(document) > MAX_DIRECTORY:
        raise FormatError("measurements_shape", f"{_WHAT} has {len(document)} rows, at most {MAX_DIRECTORY} are read")
    rows: list[_Row] = []
    left_out: dict[int, str] = {}
    for number, entry in enumerate(document, start=1):
        try:
            rows.append(_row(number, entry))
        except FormatError as error:
            left_out[number] = f"row {number}{_shown(entry)}: {error}"
    left_out.update(_unfit(rows))
    kept = [row for row in rows if row.number not in left_out]
    return MeasurementList(images=_images(kept), left_out=tuple(left_out[number] for number in sorted(left_out)))


def _row(number: int, entry: JsonValue) -> _Row:
    if not isinstance(entry, dict):
        raise FormatError("row_shape", "it is not a JSON object")
    kind = entry.get("tee_type")
    if kind is not None and kind != "tdx":
        shown = describe(kind) if isinstance(kind, str) else "no text"
        raise FormatError("other_tee", f"its tee_type is {shown}, tdx was expected")
    label = _label(entry)
    if label is None:
        raise FormatError("label", "it has no version and name of a usual form")
    runtime = _runtime(entry.get("runtime_rtmrs"))
    image = BaseImage(
        label=label,
        mrtd=decode_hex(entry.get("mrtd"), what="its mrtd", size=48),
        rtmr0=runtime["rtmr0"],
        rtmr1=runtime["rtmr1"],
        rtmr2=runtime["rtmr2"],
        rtmr3=runtime["rtmr3"],
    )
    return _Row(number=number, label=label, image=image, gpu_count=_gpu_count(entry))


def _label(entry: JsonValue) -> str | None:
    """``sek8s VERSION NAME``; None where the row has no usable ones."""
    version, name = (entry.get("version"), entry.get("name")) if isinstance(entry, dict) else (None, None)
    if not isinstance(version, str) or not isinstance(name, str):
        return None
    label = f"sek8s {version} {name}"
    return label if _VERSION.match(version) and _NAME.match(name) and label.count(".") <= _MAX_DOTS else None


def _shown(entry: JsonValue) -> str:
    label = _label(entry)
    return "" if label is None else f" ({label})"


def _runtime(registers: JsonValue) -> Mapping[str, bytes]:
    """RTMR0 to RTMR3 of a running guest, by name in lower case; those of the boot phase never stand in for them."""
    if not isinstance(registers, dict):
        raise FormatError("runtime_rtmrs", "its runtime_rtmrs is not a JSON object")
    names = sorted(name.lower() for name in registers)
    if names != sorted(_REGISTERS):
        detail = "its runtime_rtmrs does not hold RTMR0 to RTMR3, each once, and nothing else"
        raise FormatError("runtime_rtmrs", detail)
    found = {name.lower(): value for name, value in registers.items()}
    return {name: decode_hex(found[name], what=f"its runtime {name}", size=48) for name in _REGISTERS}


def _gpu_count(entry: Mapping[str, JsonValue]) -> int | None:
    count = entry.get("gpu_count")
    if count is not None and (type(count) is not int or not 1 <= count <= MAX_GPUS):
        raise FormatError("gpu_count", f"its gpu_count is not a number from 1 to {MAX_GPUS}")
    return count


def _unfit(rows: Sequence[_Row]) -> Iterator[tuple[int, str]]:
    """Rows with a register that is zero, and rows that cannot all be true: nothing says which one of these is."""
    by_label = _grouped(rows, lambda row: row.label)
    by_registers = _grouped(rows, lambda row: row.image.registers)
    for one in rows:
        named_alike = [row for row in by_label[one.label] if _content(row) != _content(one)]
        counts = {row.gpu_count for row in by_registers[one.image.registers]} - {None}
        where = f"row {one.number} ({one.label})"
        zero = [name for name in ("mrtd", *_REGISTERS) if not any(getattr(one.image, name) or b"")]
        if named_alike:
            yield one.number, f"{where}: row {named_alike[0].number} says something else under the same name"
        elif len(counts) > 1:
            yield one.number, f"{where}: the list names several gpu_count for the same registers"
        elif zero:
            words = ", so the running file system is not measured" if zero == ["rtmr3"] else ""
            yield one.number, f"{where}: its {zero[0]} is zero{words}"


def _grouped(rows: Sequence[_Row], key: Callable[[_Row], object]) -> dict[object, list[_Row]]:
    groups: dict[object, list[_Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _content(row: _Row) -> tuple[object, ...]:
    return (row.image.registers, row.gpu_count)


def _images(rows: Sequence[_Row]) -> tuple[ListedImage, ...]:
    """Each tuple once, under the first name that the list gives to it."""
    found: dict[object, ListedImage] = {}
    for row in rows:
        first = found.get(row.image.registers)
        if first is None:
            found[row.image.registers] = ListedImage(image=row.image, gpu_count=row.gpu_count)
            continue
        new = row.label not in (first.image.label, *first.also)
        also = (*first.also, row.label) if new else first.also
        count = row.gpu_count if first.gpu_count is None else first.gpu_count
        found[row.image.registers] = evolve(first, also=also, gpu_count=count)
    return tuple(found.values())
