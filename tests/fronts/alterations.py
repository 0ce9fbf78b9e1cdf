"""Ways to alter sessions with fronts, captured and simulated, each with the verdict on what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from teeverify.policy import Policy
from teeverify.testing import FrontSession, front_policy
from teeverify.testing.front_defects import front_defects
from teeverify.testing.front_defects.edits import (
    STRANGER,
    boot,
    bound,
    event,
    first,
    flipped,
    gpus,
    in_all_logs,
    info,
    logs,
    moved,
    nvidia,
    put,
    runtime,
    tcb,
    twice,
    without,
    without_preimage,
)
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


# --- on captures ------------------------------------------------------------------------------------------------------


def on(name: str, change: Callable[[Any], Any] | bytes) -> Make:
    """Change a captured report; a change of a field leaves out the copies of it, which would be rivals."""

    def edited(body: Any) -> Any:
        body.pop("all_attestations", None)
        return change(body) if callable(change) else None

    return lambda: judge_capture(altered(name, change if isinstance(change, bytes) else edited), name)


def quote_bit(offset: int) -> Callable[[Any], Any]:
    def change(body: Any) -> None:
        body["intel_quote"] = body["quote"] = flipped(offset)(body["intel_quote"])

    return change


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


def with_our_echo(report: Any) -> None:
    """The echo is edited to our nonce; the quote answers another one."""
    text = json.dumps(report).replace(f'_nonce": "{STRANGER.hex()}"', f'_nonce": "{_own_nonce()}"')
    report.clear()
    report.update(json.loads(text))


def _own_nonce() -> str:
    return FrontSession.build("nanogpt").nonce.hex()


def through_venice(name: str) -> AttestationVerdict:
    """A named defect of NEAR's machines, in a report that Venice passes on with its praise."""
    defect = front_defects("venice", "dstack")[name]
    front, truth = (FrontSession.build("venice", gpus=defect.gpus) for _ in range(2))
    return judge(defect.document(front), Policy.from_toml(front_policy(truth)))
