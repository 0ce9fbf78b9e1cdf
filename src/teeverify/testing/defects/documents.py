"""Faults of the JSON itself: two readers would see two different reports, or none."""

from __future__ import annotations

import json
from typing import Any

from teeverify.testing.near import NearSession
from teeverify.testing.recording import Document, compact
from teeverify.testing.signing import SigningKey

from .model import defect

WELLFORMED = "evidence.wellformed"


@defect(WELLFORMED)
def json_duplicate_key(session: NearSession) -> Document:
    """The report names two signing addresses; the first is the attacker's."""
    intruder = SigningKey.derive(session.keys, "intruder", session.algorithm).address_text
    return session.saved(b'{"signing_address":"' + intruder.encode() + b'",' + compact(session.report())[1:])


@defect(WELLFORMED, shipped=False)
def json_duplicate_key_last(session: NearSession) -> Document:
    """As above with the attacker's address last, where most readers take it."""
    intruder = SigningKey.derive(session.keys, "intruder", session.algorithm).address_text
    return session.saved(compact(session.report())[:-1] + b',"signing_address":"' + intruder.encode() + b'"}')


@defect(WELLFORMED, "gpu.present", shipped=False)
def json_duplicate_key_in_payload(session: NearSession) -> Document:
    """The GPU payload, which is text inside the report, has two lists of evidence."""
    report = session.report()
    report["nvidia_payload"] = '{"evidence_list":[],' + report["nvidia_payload"][1:]
    return session.saved(report)


@defect(WELLFORMED, shipped=False)
def json_duplicate_key_in_log(session: NearSession) -> Document:
    """An entry of the compose manager's log text has two payloads."""
    report = session.report()
    manager = report["compose_manager_attestation"]
    manager["event_log"] = manager["event_log"].replace('"imr":3,', '"imr":3,"event_payload":"00",', 1)
    return session.saved(report)


@defect(WELLFORMED)
def json_not_a_number(session: NearSession) -> Document:
    """The report holds NaN, which JSON does not have."""
    return session.saved(compact(session.report())[:-1] + b',"load":NaN}')


@defect(WELLFORMED)
def json_deep(session: NearSession) -> Document:
    """The report is nested two thousand levels deep."""
    return session.saved(compact(session.report())[:-1] + b',"deep":' + b"[" * 2000 + b"]" * 2000 + b"}")


@defect(WELLFORMED)
def json_truncated(session: NearSession) -> Document:
    """The connection broke in the middle of the report."""
    return session.saved(compact(session.report())[:-1000])


@defect(WELLFORMED, shipped=False)
def json_trailing(session: NearSession) -> Document:
    """A second document follows the report."""
    return session.saved(compact(session.report()) + b'{"verified":true}')


@defect(WELLFORMED, shipped=False)
def json_utf16(session: NearSession) -> Document:
    """The report is UTF-16."""
    return session.saved(json.dumps({"signing_algo": "ed25519"}).encode("utf-16"))


@defect(WELLFORMED, "evidence.complete", shipped=False)
def json_array(session: NearSession) -> Document:
    """The report is an array of one report."""
    return session.saved(compact([session.report()]))


@defect(WELLFORMED, "evidence.complete", shipped=False)
def json_empty(session: NearSession) -> Document:
    """The answer is empty."""
    return session.saved(b"")


@defect(WELLFORMED, "evidence.complete")
def json_says_verified(session: NearSession) -> Document:
    """The report is nothing but the server's opinion of itself."""
    return session.saved({"verified": True, "server_verification": {"intel": True, "gpu": True}})


@defect("evidence.complete", WELLFORMED, shipped=False)
def quote_missing(session: NearSession) -> Document:
    """The report has no quote."""
    report = session.report()
    del report["intel_quote"]
    return session.saved(report)


@defect(WELLFORMED, shipped=False)
def quote_as_list(session: NearSession) -> Document:
    """The quote is an array of numbers."""
    report: dict[str, Any] = session.report()
    report["intel_quote"] = list(bytes.fromhex(report["intel_quote"]))[:64]
    return session.saved(report)


@defect(WELLFORMED, "evidence.complete", "dstack.reported_info", shipped=False)
def info_missing(session: NearSession) -> Document:
    """The report has no ``info``, hence no compose text."""
    report = session.report()
    del report["info"]
    return session.saved(report)


@defect(WELLFORMED, "dstack.reported_info", shipped=False)
def info_text_twice(session: NearSession) -> Document:
    """``tcb_info`` is JSON text inside JSON text."""
    report = session.report()
    report["info"]["tcb_info"] = json.dumps(json.dumps(report["info"]["tcb_info"]))
    return session.saved(report)
