"""Ways to alter sessions with fronts, captured and simulated, each with the verdict on what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import attrs

from teeverify.policy import Policy
from teeverify.testing import FrontSession, NearSession, front_policy
from teeverify.testing.defects import DEFECTS
from teeverify.testing.dstack import DstackBoot
from teeverify.testing.event_log import Event
from teeverify.testing.recording import body_of as recorded_body
from teeverify.testing.recording import compact, replace_body
from teeverify.verdict import AttestationVerdict

from .world import NANOGPT, REPORT, altered, capture, judge, judge_capture, kind_of, policy, policy_of, renamed

__all__ = [
    "STRANGER",
    "Make",
    "asked",
    "boot",
    "bound",
    "event",
    "first",
    "flipped",
    "gpus",
    "images_by_digest",
    "in_all_logs",
    "info",
    "logs",
    "moved",
    "nvidia",
    "of_another_model",
    "on",
    "put",
    "quote_bit",
    "runtime",
    "spoiled",
    "tcb",
    "through_venice",
    "twice",
    "with_our_echo",
    "with_text",
    "without",
    "without_preimage",
]

Make = Callable[[], AttestationVerdict]
STRANGER: Final = bytes(range(100, 132))


# --- on captures ------------------------------------------------------------------------------------------------------


def on(name: str, change: Callable[[Any], Any] | bytes) -> Make:
    """Change a captured report; a change of a field leaves out the copies of it, which would be rivals."""

    def edited(body: Any) -> Any:
        body.pop("all_attestations", None)
        return change(body) if callable(change) else None

    return lambda: judge_capture(altered(name, change if isinstance(change, bytes) else edited), name)


def put(name: str, value: Any) -> Callable[[Any], Any]:
    def change(body: Any) -> None:
        body[name] = value(body.get(name)) if callable(value) else value

    return change


def flipped(offset: int) -> Callable[[str], str]:
    def flip(text: str) -> str:
        data = bytearray(bytes.fromhex(text))
        data[offset] ^= 1
        return data.hex()

    return flip


def quote_bit(offset: int) -> Callable[[Any], Any]:
    def change(body: Any) -> None:
        body["intel_quote"] = body["quote"] = flipped(offset)(body["intel_quote"])

    return change


def logs(edit: Callable[[list[dict[str, Any]]], Any], *, outer: bool = True) -> Callable[[Any], Any]:
    """Apply one change to both copies of the event log; ``edit`` changes rows in place."""

    def change(body: Any) -> None:
        edit(body["info"]["tcb_info"]["event_log"])
        if outer:
            rows = json.loads(body["event_log"])
            edit(rows)
            body["event_log"] = json.dumps(rows)

    return change


def event(name: str, **members: Any) -> Callable[[list[dict[str, Any]]], Any]:
    def edit(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["event"] == name).update(members)

    return edit


def first(**members: Any) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda rows: rows[0].update(members)


def tcb(name: str, value: Any) -> Callable[[Any], Any]:
    def change(body: Any) -> None:
        inner = body["info"]["tcb_info"]
        inner[name] = value(inner[name]) if callable(value) else value

    return change


def info(**members: Any) -> Callable[[Any], Any]:
    return lambda body: body["info"].update(members)


def gpus(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def edit(body: Any) -> None:
        payload = json.loads(body["nvidia_payload"])
        result = change(payload)
        body["nvidia_payload"] = json.dumps(payload if result is None else result)

    return edit


def with_text(old: bytes, new: bytes) -> Make:
    """The captured report with other bytes in one place."""

    def make() -> AttestationVerdict:
        body = next(each.response.body for each in capture(NANOGPT).exchanges if REPORT in each.request.url)
        assert old in body
        return judge_capture(altered(NANOGPT, body.replace(old, new, 1)), NANOGPT)

    return make


def images_by_digest() -> AttestationVerdict:
    """The captured machine under a policy that takes no image by tag."""
    rules = policy_of(NANOGPT)
    pins = {"model": attrs.evolve(rules.pins["model"], images_by_digest=True)}
    return kind_of(rules.provider)(attrs.evolve(rules, pins=pins)).verify_saved(capture(NANOGPT))


def asked(old: str, new: str, name: str = NANOGPT) -> Make:
    return lambda: judge_capture(renamed(capture(name), old, new), name)


def of_another_model() -> AttestationVerdict:
    return judge_capture(attrs.evolve(capture(NANOGPT), model="TEE/other"), NANOGPT)


# --- on simulated sessions --------------------------------------------------------------------------------------------


def spoiled(
    provider: str,
    spoil: Callable[[FrontSession], Any] = lambda session: None,
    edit: Callable[[Any], Any] = lambda report: None,
    *,
    shape: str = "dstack",
    rules: Callable[[], Policy] | None = None,
    server_nonce: bytes | None = None,
    **options: Any,
) -> Make:
    """Spoil a session before its report is made, and the report after; judged under the truthful session's policy."""

    def make() -> AttestationVerdict:
        session = FrontSession.build(provider, shape, server_nonce=server_nonce, **options)
        spoil(session)
        report = session.report()
        result = edit(report)
        document = session.saved(report if result is None else result)
        return judge(document, policy(provider, shape, **options) if rules is None else rules())

    return make


def boot(change: Callable[[DstackBoot], DstackBoot]) -> Callable[[FrontSession], Any]:
    def spoil(session: FrontSession) -> None:
        model = session.machines.model
        model.boot = change(model.boot)

    return spoil


def runtime(edit: Callable[[list[Event]], Any]) -> Callable[[FrontSession], Any]:
    """Let the guest write another log; the registers follow, as in a TD whose guest the attacker wrote."""

    def change(own: DstackBoot) -> DstackBoot:
        events = list(own.runtime_events())
        edit(events)
        return own.with_runtime(*events)

    return boot(change)


def _at(events: list[Event], name: str) -> int:
    return next(index for index, one in enumerate(events) if one.event == name)


def twice(name: str) -> Callable[[list[Event]], Any]:
    return lambda events: events.insert(_at(events, name), events[_at(events, name)])


def moved(name: str, before: str) -> Callable[[list[Event]], Any]:
    def edit(events: list[Event]) -> None:
        one = events.pop(_at(events, name))
        events.insert(_at(events, before), one)

    return edit


def without(name: str) -> Callable[[list[Event]], Any]:
    return lambda events: events.pop(_at(events, name))


def bound(**changes: Any) -> Callable[[FrontSession], Any]:
    """What the machine says of its signing key, while the quote binds something else or nothing at all."""

    def spoil(session: FrontSession) -> None:
        machines = session.machines
        address = machines.model.signing.address
        machines.model_report_data = changes["data"](address, machines.nonce)

    return spoil


def without_preimage(rows: Any) -> None:
    for row in rows:
        row.pop("preimage", None)


def in_all_logs(report: Any, edit: Callable[[Any], Any]) -> None:
    edit(report["info"]["tcb_info"]["event_log"])
    rows = json.loads(report["event_log"])
    edit(rows)
    report["event_log"] = compact(rows).decode()
    report.pop("all_attestations", None)


def nvidia(session: FrontSession, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(session.machines.nras, name, value)


def with_our_echo(report: Any) -> None:
    """The echo is edited to our nonce; the quote answers another one."""
    text = json.dumps(report).replace(f'_nonce": "{STRANGER.hex()}"', f'_nonce": "{_own_nonce()}"')
    report.clear()
    report.update(json.loads(text))


def _own_nonce() -> str:
    return FrontSession.build("nanogpt").nonce.hex()


def through_venice(name: str) -> AttestationVerdict:
    """A named defect of NEAR's machines, in a report that Venice passes on with its praise."""
    fault = DEFECTS[name]
    options = {key: value for key, value in fault.options.items() if key not in ("algorithm", "tls_bound")}
    number = options.get("gpus", 1)
    front = FrontSession.build("venice", gpus=number)
    behind = NearSession.direct(
        **{"gpus": 1, **options, "algorithm": "ecdsa", "tls_bound": False, "copies": False, "nonce": front.nonce}
    )
    rules = Policy.from_toml(front_policy(FrontSession.build("venice", gpus=number)))
    document = fault.spoil(behind) or behind.saved()
    praise = {"verified": True, "model": front.model_name, "nonce": front.nonce.hex(), "server_verification": {}}
    try:
        report = {**json.loads(recorded_body(document, "/attestation/report")), **praise}
        replace_body(document, "/attestation/report", compact(report))
    except ValueError:
        pass  # some defects leave no JSON behind
    for each in document["exchanges"]:
        if "/attestation/report" in each["request"]["url"]:
            each["request"]["url"] = front.report_url
    return judge({**document, "provider": "venice", "model": front.model_name}, rules)
