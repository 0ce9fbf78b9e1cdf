"""Saved reports: strict reading of any bytes, and writing that reads back as the same."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify import saved
from teeverify.errors import FormatError, SavedReportError
from teeverify.flow import Request, Response
from teeverify.limits import MAX_REPORT_BODY
from teeverify.saved import MEDIA_TYPE, RecordedExchange, SavedReport, format_time, parse_time

from .subjects import report_of

GOOD: Final[dict[str, Any]] = {
    "media_type": MEDIA_TYPE,
    "provider": "near",
    "model": "m",
    "nonce": "ab" * 32,
    "recorded_at": "2026-06-29T02:06:37.994367Z",
    "exchanges": [
        {
            "request": {"method": "GET", "url": "https://x.near.ai/", "body": None},
            "response": {"status": 200, "headers": {"A": ["b"]}, "body": "AAAA", "peer_spki": None},
        }
    ],
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _read(document: object) -> SavedReport:
    return SavedReport.from_bytes(json.dumps(document).encode())


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(SavedReportError):
        SavedReport.from_bytes(data)


@given(json_values)
def test_any_json_is_read_or_refused(value: object) -> None:
    with pytest.raises(SavedReportError):
        _read(value)


@settings(max_examples=300)
@given(st.sampled_from(sorted(GOOD)), json_values)
def test_any_value_of_a_member_is_read_or_refused(name: str, value: object) -> None:
    with contextlib.suppress(SavedReportError):
        _read({**GOOD, name: value})


@settings(max_examples=300)
@given(
    st.sampled_from(["request", "response"]),
    st.sampled_from(["method", "url", "body", "status", "headers", "peer_spki"]),
    json_values,
)
def test_any_value_inside_an_exchange_is_read_or_refused(part: str, name: str, value: object) -> None:
    exchange = GOOD["exchanges"][0]
    with contextlib.suppress(SavedReportError):
        _read({**GOOD, "exchanges": [{**exchange, part: {**exchange[part], name: value}}]})


@given(st.integers(min_value=0, max_value=len(json.dumps(GOOD)) - 1), st.binary(min_size=1, max_size=2))
def test_edited_bytes_are_read_or_refused(place: int, new: bytes) -> None:
    data = json.dumps(GOOD).encode()
    with contextlib.suppress(SavedReportError):
        SavedReport.from_bytes(data[:place] + new + data[place + 1 :])


exchanges = st.builds(
    RecordedExchange,
    request=st.builds(
        Request,
        method=st.sampled_from(["GET", "POST"]),
        url=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60),
        body=st.none() | st.binary(max_size=40),
        limit=st.just(MAX_REPORT_BODY),
    ),
    response=st.builds(
        Response,
        status=st.integers(100, 599),
        headers=st.dictionaries(
            st.text("abcdefgh-", min_size=1, max_size=12),
            st.lists(st.text(st.characters(codec="utf-8"), max_size=10), max_size=3).map(tuple),
            max_size=3,
        ),
        body=st.binary(max_size=60),
        peer_spki=st.none() | st.binary(max_size=60),
    ),
)
reports = st.builds(
    SavedReport,
    provider=st.sampled_from(["near", "chutes"]),
    model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    nonce=st.binary(min_size=32, max_size=32),
    recorded_at=st.datetimes(
        min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(timezone.utc)
    ),
    exchanges=st.lists(exchanges, max_size=3).map(tuple),
)


@given(reports)
def test_round_trip(report: SavedReport) -> None:
    data = report.to_bytes()
    again = SavedReport.from_bytes(data)
    assert attrs.evolve(again, digest="") == attrs.evolve(report, digest="")
    assert again.to_bytes() == data
    assert len(again.digest) == 64


def test_a_real_size_round_trip() -> None:
    report = report_of("cloud")
    again = SavedReport.from_bytes(report.to_bytes())
    assert attrs.evolve(again, digest="") == attrs.evolve(report, digest="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-06-29T02:06:37Z", datetime(2026, 6, 29, 2, 6, 37, tzinfo=timezone.utc)),
        ("2026-06-29t02:06:37z", datetime(2026, 6, 29, 2, 6, 37, tzinfo=timezone.utc)),
        ("2026-06-29T04:06:37+02:00", datetime(2026, 6, 29, 2, 6, 37, tzinfo=timezone.utc)),
        ("2026-06-29T02:06:37.5Z", datetime(2026, 6, 29, 2, 6, 37, 500_000, tzinfo=timezone.utc)),
        ("2026-06-29T02:06:37.123456789Z", datetime(2026, 6, 29, 2, 6, 37, 123_456, tzinfo=timezone.utc)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert parse_time(text, what="x") == expected
    assert parse_time(format_time(expected), what="x") == expected


@pytest.mark.parametrize(
    "value",
    [
        "2026-06-29",
        "2026-06-29T02:06:37",
        "2026-06-29 02:06:37Z",
        "2026-13-29T02:06:37Z",
        "2026-02-30T00:00:00Z",
        "2026-06-29T25:00:00Z",
        "2026-06-29T02:06:60Z",
        "2026-06-29T02:06:37+25:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-06-29T02:06:37Z\n",
        "\uff12026-06-29T02:06:37Z",
        "",
        None,
        1,
        ["2026-06-29T02:06:37Z"],
    ],
)
def test_no_times(value: object) -> None:
    with pytest.raises(FormatError) as refused:
        parse_time(value, what="recorded_at")
    assert refused.value.code == "not_a_time"


@given(st.datetimes(min_value=datetime(1000, 1, 2), timezones=st.just(timezone(timedelta(hours=5)))))
def test_every_time_can_be_written(at: datetime) -> None:
    assert parse_time(format_time(at), what="x") == at


def test_a_time_of_long_ago_can_be_written() -> None:
    at = datetime(999, 12, 31, tzinfo=timezone.utc)
    assert parse_time(format_time(at), what="x") == at


def _exchange(part: str, **members: object) -> dict[str, Any]:
    exchange = GOOD["exchanges"][0]
    return {**GOOD, "exchanges": [{**exchange, part: {**exchange[part], **members}}]}


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ({**GOOD, "media_type": "application/json"}, "media_type"),
        ({**GOOD, "nonce": "ab" * 31}, "nonce"),
        ({**GOOD, "nonce": "0x" + "ab" * 31}, "nonce"),
        ({**GOOD, "nonce": None}, "nonce"),
        ({**GOOD, "model": ""}, "model"),
        ({**GOOD, "model": "m" * 513}, "model"),
        ({**GOOD, "provider": 7}, "provider"),
        ({**GOOD, "recorded_at": 1}, "recorded_at"),
        ({**GOOD, "exchanges": {}}, "exchanges"),
        ({**GOOD, "exchanges": GOOD["exchanges"] * 513}, "exchanges"),
        ({**GOOD, "exchanges": [None]}, "exchange 0"),
        (_exchange("request", method=""), "method"),
        (_exchange("request", url="u" * 8193), "url"),
        (_exchange("request", url="https://x.near.ai/\t"), "URL of exchange 0"),
        (_exchange("request", url="https://x.near.ai/\u00e9"), "URL of exchange 0"),
        (_exchange("request", url="https://x.near.ai/\tv1"), "URL"),
        (_exchange("request", url="https://x.near.ai/é"), "URL"),
        (_exchange("request", body="AAA"), "request body"),
        (_exchange("response", status=True), "status"),
        (_exchange("response", status=99), "status"),
        (_exchange("response", status="200"), "status"),
        (_exchange("response", body="AB=="), "response body"),
        (_exchange("response", body=" AAAA"), "response body"),
        (_exchange("response", peer_spki=7), "peer_spki"),
        (_exchange("response", headers=[]), "headers"),
        (_exchange("response", headers={"a": "b"}), "header"),
        (_exchange("response", headers={"a": [1]}), "header"),
        (_exchange("response", headers={"Name": ["b"], "name": ["c"]}), "header"),
        (_exchange("response", headers={str(i): [] for i in range(257)}), "headers"),
    ],
)
def test_what_is_refused_is_named(document: object, part: str) -> None:
    with pytest.raises(SavedReportError, match=part):
        _read(document)


def test_two_readings_are_refused() -> None:
    text = json.dumps(GOOD)
    for changed in (
        text.replace('"model": "m"', '"model": "m", "model": "n"'),
        text.replace('"status": 200', '"status": 200, "status": 500'),
        text + text,
        "\ufeff" + text,
        text.replace("200", "2e2"),
        text.replace("200", "NaN"),
    ):
        with pytest.raises(SavedReportError):
            SavedReport.from_bytes(changed.encode())
    with pytest.raises(SavedReportError):
        SavedReport.from_bytes(text.encode("utf-16"))


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_bytes(json.dumps(GOOD).encode())
    assert SavedReport.load(path).model == "m"
    monkeypatch.setattr(saved, "MAX_SAVED_REPORT", 100)
    with pytest.raises(SavedReportError, match="at most 100 are accepted"):
        SavedReport.load(path)


@pytest.mark.parametrize("name", ["missing.json", ".", "missing/saved.json"])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(SavedReportError, match="cannot be read"):
        SavedReport.load(tmp_path / name)


def test_a_path_that_no_file_system_has(tmp_path: Path) -> None:
    with pytest.raises(SavedReportError):
        SavedReport.load(str(tmp_path / "a\0b"))


def test_repr_shows_no_traffic() -> None:
    report = attrs.evolve(report_of(), exchanges=report_of().exchanges)
    assert len(repr(report)) < 400
    assert base64.b64encode(report.exchanges[0].response.body).decode()[:40] not in repr(report.exchanges[0])
    assert "\n" not in repr(report.exchanges[0])
