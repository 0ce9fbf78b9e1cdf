"""What runs inside the TD: the dstack guest's measurements and its application."""

from __future__ import annotations

import hashlib

from ..claims.dstack import DstackClaims, NamedLog
from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..formats.event_log import replay, runtime_digest
from ..formats.tdx_quote import TdReport
from ..policy import Policy
from .catalogue import Finding, check, failed, passed
from .tdx import tdx_claims

__all__ = ["dstack_claims"]

_DSTACK = "dstack: event log, app-compose and MRCONFIGID (dstack-attest, dstack-types)"


def dstack_claims(subject: Subject) -> DstackClaims:
    """The subject's dstack section; a provider only lists these checks for roles that have one."""
    if subject.dstack is None:
        raise TypeError(f"subject {subject.id} has no dstack section")
    return subject.dstack


def _logs(subject: Subject) -> tuple[NamedLog, ...]:
    logs = tuple(need(log) for log in dstack_claims(subject).logs)
    if not logs:  # nothing to judge is nothing proven
        detail = "the record holds no event log"
        need(Problem(kind=ProblemKind.ABSENT, code="event_log_missing", detail=detail))
    return logs


@check(
    "dstack.event_digests",
    title="Every runtime event has the digest of its own name and payload",
    explanation=(
        "A runtime event carries a name, a payload and a digest, and only the digest is measured. If one believed the "
        "digest that the log states, names and payloads could be rewritten at will. Each digest is therefore "
        "recomputed."
    ),
    source=_DSTACK,
    anchor="arithmetic",
    reasons={"other_digest": "An event states another digest than its name and payload have."},
)
def event_digests(subject: Subject, policy: Policy) -> Finding:
    del policy
    count = 0
    for copy in _logs(subject):
        for event in copy.log.runtime:
            if event.digest and event.digest != runtime_digest(event):
                return failed(
                    "other_digest",
                    f"event {event.name!r} in {copy.where} states a digest that its name and payload do not have",
                    expected=runtime_digest(event).hex(),
                    observed=event.digest.hex(),
                )
            count += 1
    return passed(f"{count} runtime events have the digests of their names and payloads")


@check(
    "dstack.rtmr_replay",
    title="The event log replays to the measured registers",
    explanation=(
        "Each event was extended into one of four registers that only grow by hashing. Extending the log's events "
        "again, runtime events with their recomputed digests, must give exactly the registers in the quote; then no "
        "digest is missing, added, changed or moved. Names and payloads are covered for runtime events only: those of "
        "boot rows (RTMR0 to RTMR2) are measured by nobody and read by nobody here."
    ),
    requires=("tdx.quote_signature", "dstack.event_digests"),
    source="Intel TDX Module specification (TDG.MR.RTMR.EXTEND); dstack event log",
    anchor="Intel root",
    reasons={
        "other_register": "A register computed from the log is not the one in the quote.",
        "stated_register": "The report states another register value beside the quote than the quote holds.",
    },
)
def rtmr_replay(subject: Subject, policy: Policy) -> Finding:
    del policy
    report = need(tdx_claims(subject).quote).report
    for copy in _logs(subject):
        for number, (computed, quoted) in enumerate(zip(replay(copy.log), report.rtmrs, strict=True)):
            if computed != quoted:
                return failed(
                    "other_register",
                    f"{copy.where} does not replay to RTMR{number} of the quote",
                    expected=quoted.hex(),
                    observed=computed.hex(),
                )
    stated = dstack_claims(subject).stated
    for number, quoted in enumerate(report.rtmrs):
        value = stated.get(f"tcb_info.rtmr{number}")
        if value is not None and need(value) != quoted:
            return failed("stated_register", f"the report states another RTMR{number} than the quote holds")
    return passed("every copy of the event log replays to RTMR0 to RTMR3 of the quote")


@check(
    "dstack.event_order",
    title="Identity events stand where only the guest OS writes",
    explanation=(
        "The guest OS measures who the application is before it starts it; afterwards the application may append "
        "events of any name. An app-id or compose-hash counts only at its place before system-ready, and exactly once."
    ),
    requires=("dstack.rtmr_replay",),
    source=_DSTACK,
    anchor="Intel root, policy pin of the base image",
    reasons={
        "event_order": "Boot markers or identity events stand in another order than the guest OS writes them.",
        "event_missing": "An identity event is missing before system-ready.",
        "event_repeated": "An identity event occurs more than once before system-ready.",
        "event_payload": "An identity event has a payload of the wrong form.",
    },
)
def event_order(subject: Subject, policy: Policy) -> Finding:
    del policy
    identity = dstack_claims(subject).identity
    if isinstance(identity, Problem) and identity.kind is ProblemKind.INVALID:
        return failed(identity.code, identity.detail)
    later = need(identity).later_names
    note = f"; {len(later)} later events of such names count for nothing" if later else ""
    return passed(f"identity events stand before system-ready, each once{note}")


@check(
    "dstack.compose_event",
    title="The application's compose document is the one that was measured",
    explanation=(
        "The compose document says which containers run. Its SHA-256, over the exact text that the report shows, must "
        "be the compose-hash that the guest measured into RTMR3, and no copy of the hash in the report may differ."
    ),
    requires=("dstack.rtmr_replay", "dstack.event_order"),
    source=_DSTACK,
    anchor="Intel root, policy pin of the base image",
    reasons={
        "other_compose": "The compose document has another hash than the measured one.",
        "stated_hash": "The report states another compose hash than the measured one.",
    },
)
def compose_event(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims = dstack_claims(subject)
    measured, document = need(claims.identity).compose_hash, need(claims.app_compose).compose_hash
    if document != measured:
        return failed(
            "other_compose",
            "the compose document in the report is not the one that the guest measured",
            expected=measured.hex(),
            observed=document.hex(),
        )
    for where in ("info.compose_hash", "tcb_info.compose_hash"):
        value = claims.stated.get(where)
        if value is not None and need(value) != measured:
            return failed("stated_hash", f"{where} is not the measured compose hash", expected=measured.hex())
    return passed("the compose document has the measured hash", observed=measured.hex())


@check(
    "dstack.reported_info",
    title="What the report says about itself is what was measured",
    explanation=(
        "Beside the quote a report repeats ids and registers in the clear, and programs read them. None of these "
        "copies is believed here; each must equal the measured value, so that a program which does read them is not "
        "misled."
    ),
    requires=("dstack.rtmr_replay", "dstack.event_order"),
    source=_DSTACK,
    anchor="Intel root, policy pin of the base image",
    reasons={"differs": "A value that the report states differs from the measured one; the sentence names it."},
)
def reported_info(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims, tdx = dstack_claims(subject), tdx_claims(subject)
    identity, quote = need(claims.identity), need(tdx.quote)
    ppid_digest = hashlib.sha256(need(tdx.pck).ppid).digest()
    measured: dict[str, tuple[bytes, ...]] = {
        "app_id": (identity.app_id,),
        "instance_id": (identity.instance_id,),
        "os_image_hash": (identity.os_image_hash or b"",),
        "compose_hash": (identity.compose_hash,),
        "mrtd": (quote.report.mr_td,),
        **{f"rtmr{number}": (value,) for number, value in enumerate(quote.report.rtmrs)},
        "mr_aggregated": (_mr_aggregated(quote.report),),
        # Guests have used the quote's user data, nothing (0.5.6 on) and the PPID as source of the device id.
        "device_id": (hashlib.sha256(quote.user_data).digest(), hashlib.sha256(b"").digest(), ppid_digest),
    }
    compared = 0
    for where, value in sorted(claims.stated.items()):
        expected = measured.get(where.rpartition(".")[2])
        if expected is None:
            continue
        compared += 1
        if need(value) not in expected:
            return failed("differs", f"{where} in the report is not what was measured", expected=expected[0].hex())
    return passed(f"{compared} stated values are what was measured" if compared else "nothing is stated")


def _mr_aggregated(report: TdReport) -> bytes:
    parts = [report.mr_td, *report.rtmrs]
    extra = (report.mr_config_id, report.mr_owner, report.mr_owner_config)
    if any(any(part) for part in extra):
        parts.extend(extra)
    return hashlib.sha256(b"".join(parts)).digest()
