"""The text of a recorded report: readings that must not differ, and changes that mean nothing."""

from __future__ import annotations

import json

import attrs
import pytest

from captures import NEAR_CAPTURES, capture_path
from teeverify.flow import Request, Response
from teeverify.saved import RecordedExchange, SavedReport
from teeverify.verdict import Outcome

from .tampering import TEXT, Json, Session, deciding_ids, get, put, session_of

pytestmark = pytest.mark.usefixtures("pure_work_remembered")


@pytest.fixture(params=tuple(NEAR_CAPTURES))
def session(request: pytest.FixtureRequest) -> Session:
    name: str = request.param
    return session_of(name, NEAR_CAPTURES[name])


def _url(session: Session) -> str:
    return session.report.exchanges[session.place].request.url


# --- the JSON text ---------------------------------------------------------------------------------------------------


def _text(session: Session) -> str:
    return json.dumps(session.body, ensure_ascii=False, separators=(",", ":"))


def test_two_readings_of_one_text(session: Session) -> None:
    """Repeated members, NaN, lone surrogates, a second document: refused before anything in it counts."""
    text = _text(session)
    changes = {
        "repeated member": text.replace('"signing_address":', '"signing_address":"00","signing_address":', 1),
        "repeated at the end": text[:-1] + ',"model_attestations":[]}' if session.cloud else text[:-1] + ',"info":{}}',
        "repeated by escape": text.replace('"info":', '"\\u0069nfo":{},"info":', 1),
        "not a number": text[:-1] + ',"x":NaN}',
        "infinity": text[:-1] + ',"x":-Infinity}',
        "out of range": text[:-1] + ',"x":1e999}',
        "many digits": text[:-1] + ',"x":' + "9" * 5000 + "}",
        "lone surrogate": text[:-1] + ',"x":"\\ud800"}',
        "second document": text + "{}",
        "trailing comma": text[:-1] + ",}",
        "comment": text[:-1] + "/**/}",
        "deep": text[:-1] + ',"x":' + "[" * 40 + "]" * 40 + "}",
        "very deep": text[:-1] + ',"x":' + "[" * 60_000 + "]" * 60_000 + "}",
        "byte order mark": "\ufeff" + text,
        "cut": text[:-1],
    }
    for what, changed in changes.items():
        verdict = session.judge(session.with_body_bytes(changed.encode("utf-8")))
        assert verdict.outcome is Outcome.REJECTED, what
        assert "evidence.wellformed" in deciding_ids(verdict), what
    assert session.judge(session.with_body_bytes(text.encode("utf-16"))).outcome is Outcome.REJECTED
    assert session.judge(session.with_body_bytes(text.encode() + b"\xff")).outcome is Outcome.REJECTED


def test_two_readings_of_a_text_inside_a_text(session: Session) -> None:
    path = session.record_paths["model"]
    for member, inner in (
        (("nvidia_payload",), '"nonce":"00","nonce":'),
        (("info", "key_provider_info"), '"name":"x","name":'),
        (("info", "vm_config"), '"image":"x","image":'),
    ):
        name = inner.rpartition(",")[2]
        text = get(session.body, (*path, *member))
        changed = put(session.body, (*path, *member), text.replace(name, inner, 1))
        verdict = session.judge_body(changed)
        assert verdict.outcome is Outcome.REJECTED
        assert deciding_ids(verdict) & {"evidence.wellformed", "dstack.key_provider"}
    twice = put(session.body, (*path, "event_log"), lambda log: json.dumps(json.dumps(log)))
    assert "evidence.wellformed" in deciding_ids(session.judge_body(twice))
    logs = put(session.body, (*session.record_paths["compose_manager"], "event_log"), json.dumps)
    assert "evidence.wellformed" in deciding_ids(session.judge_body(logs))


@pytest.mark.parametrize("value", [None, [], "text", 1, True, 1.5, {}, {"verified": True}, [{}]], ids=str)
def test_a_report_that_is_something_else(session: Session, value: Json) -> None:
    verdict = session.judge_body(value)
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict) & {"evidence.wellformed", "evidence.complete"}


# --- changes that mean nothing ---------------------------------------------------------------------------------------


def _reversed_members(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _reversed_members(value[name]) for name in reversed(list(value))}
    return [_reversed_members(entry) for entry in value] if isinstance(value, list) else value


def test_white_space_and_order_of_members(session: Session) -> None:
    for text in (json.dumps(session.body, indent=3), f"\r\n\t {json.dumps(session.body, ensure_ascii=True)} \n"):
        assert session.judge(session.with_body_bytes(text.encode())).outcome is Outcome.VERIFIED
    assert session.judge_body(_reversed_members(session.body)).outcome is Outcome.VERIFIED


def test_unknown_members_are_ignored(session: Session) -> None:
    body = put(session.body, ("verified",), False)
    for path in session.record_paths.values():
        body = put(body, (*path, "verified"), False)
    body = put(body, (*session.record_paths["model"], "info", "note"), {"deep": [1, 2.5, None]})
    body = put(body, (*session.record_paths["model"], "nvidia_payload", TEXT, "note"), "x")
    assert session.judge_body(body).outcome is Outcome.VERIFIED


def test_unknown_members_do_not_help(session: Session) -> None:
    body = put(session.body, (*session.record_paths["model"], "signing_address"), "11" * 32)
    body = put(body, ("verified",), True)
    body = put(body, (*session.record_paths["model"], "verified"), True)
    assert session.judge_body(body).outcome is Outcome.REJECTED


def test_upper_case_hex(session: Session) -> None:
    hexes = (
        "intel_quote",
        "quote",
        "signing_address",
        "request_nonce",
        "nonce",
        "tls_cert_fingerprint",
        "actions_hash",
    )
    body = session.body
    for path in session.record_paths.values():
        for member in hexes:
            if member in get(body, path):
                body = put(body, (*path, member), str.upper)
        if "info" in get(body, path):
            body = put(body, (*path, "info", "tcb_info", "rtmr3"), str.upper)
            body = put(body, (*path, "info", "tcb_info", "event_log", 0, "digest"), str.upper)
    report = attrs.evolve(session.with_body(body))
    assert session.judge(report).outcome is Outcome.VERIFIED
    upper = _url(session).replace(session.report.nonce.hex(), session.report.nonce.hex().upper())
    assert session.judge(session.with_request(session.place, url=upper)).outcome is Outcome.VERIFIED


def test_tcb_info_as_text(session: Session) -> None:
    body = put(session.body, (*session.record_paths["model"], "info", "tcb_info"), json.dumps)
    assert session.judge_body(body).outcome is Outcome.VERIFIED


def test_unrelated_exchanges_do_not_matter(session: Session) -> None:
    stray = RecordedExchange(
        request=Request(method="POST", url="https://rekor.example/api", body=b"x", limit=1),
        response=Response(status=500, headers={}, body=b"\xff"),
    )
    report = attrs.evolve(session.report, exchanges=(stray, *session.report.exchanges, stray))
    assert session.judge(report).outcome is Outcome.VERIFIED


def test_the_file_as_it_was_captured_gives_the_same_verdict(session: Session) -> None:
    """These tests judge in memory and without copies and strays; the whole file comes to the same."""
    whole = session.judge(SavedReport.load(capture_path(session.name)))
    again = session.judge(SavedReport.from_bytes(session.report.to_bytes()))
    assert [s.checks for s in whole.subjects] == [s.checks for s in again.subjects]
    assert whole.outcome is again.outcome is Outcome.VERIFIED
