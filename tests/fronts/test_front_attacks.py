"""Every attack of the table is refused by the check that should refuse it, and no key comes out of it."""

from __future__ import annotations

from typing import Final

import pytest

from teeverify.testing.event_log import Event, runtime_event
from teeverify.verdict import Outcome, Status

from .alterations import runtime, spoiled
from .attacks import ROWS, Row
from .world import CHUTES, NANOGPT, VENICE, altered, capture, deciding, judge_capture

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

ELSEWHERE: Final = {
    19: "an event after the boot is no attack: test_an_event_after_the_boot_changes_nothing",
    37: "no verdict rests on Sigstore",
    40: "gateway and GPUs are never called one node: test_gpus_are_never_bound_to_the_cpu",
    41: "test_front_exchanges",
    42: "test_front_exchanges",
    43: "test_front_exchanges",
    44: "test_front_exchanges",
    45: "not provable, and said so: test_front_captures",
    47: "encryption to the machine is not part of this library",
    55: "test_front_shapes",
}
"""Attacks 1 to 47, 55 and 56 that are not in the table, and where they are."""
_OPEN: Final = {"asked for the padded form, policy demands TLS"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number} {row.title}")
def test_an_attack_is_refused_by_its_check(row: Row) -> None:
    verdict = row.make()
    assert verdict.outcome is (Outcome.INCONCLUSIVE if row.title in _OPEN else Outcome.REJECTED)
    assert deciding(verdict) & row.checks, deciding(verdict)
    assert not any(subject.attested_keys for subject in verdict.subjects)
    assert verdict.attested_tls_spki is None


def test_no_attack_is_forgotten() -> None:
    assert {row.number for row in ROWS} | ELSEWHERE.keys() == {*range(1, 48), 55, 56}
    assert not {row.number for row in ROWS} & ELSEWHERE.keys()


def test_an_event_after_the_boot_changes_nothing() -> None:
    late = runtime_event("compose-hash", bytes(32))
    assert spoiled("nanogpt", runtime(lambda events: events.append(late)))().verified

    def instead(events: list[Event]) -> None:
        events[2:3] = []
        events.append(late)

    assert spoiled("nanogpt", runtime(instead))().outcome is Outcome.REJECTED


def test_gpus_are_never_bound_to_the_cpu() -> None:
    verdict = spoiled("phala", shape="near")().require()
    found = [check for subject in verdict.subjects for check in subject.checks if check.id == "gpu.cpu_binding"]
    assert {check.status for check in found} == {Status.INFO, Status.NOT_APPLICABLE}
    assert any("share a nonce, not a machine" in gap for gap in verdict.gaps)


@pytest.mark.parametrize("name", [NANOGPT, VENICE])
def test_what_the_server_says_of_itself_changes_nothing(name: str) -> None:
    praise = {"verified": True, "server_verification": {"tdx": {"valid": True}}, "status": "ok", "tee_provider": "x"}
    blame = {"verified": False, "server_verification": {"tdx": {"valid": False}}}
    for opinion in (praise, blame):
        assert judge_capture(altered(name, lambda body, o=opinion: body.update(o)), name).verified  # type: ignore[misc]


def _bad_copy(body: object) -> None:
    assert isinstance(body, dict)
    copy = {key: value for key, value in body.items() if key != "all_attestations"}
    body["all_attestations"] = [copy, {**copy, "signing_address": "0x" + "ab" * 20}]


@pytest.mark.parametrize("name", [NANOGPT, VENICE])
def test_a_rival_copy_is_a_machine_of_its_own(name: str) -> None:
    verdict = judge_capture(altered(name, _bad_copy), name)
    assert verdict.outcome is Outcome.REJECTED
    outcomes = {subject.id: subject.outcome for subject in verdict.subjects}
    assert (outcomes["model"], outcomes["model:2"]) == (Outcome.VERIFIED, Outcome.REJECTED)
    assert "binding.report_data" in deciding(verdict)


@pytest.mark.parametrize("copies", [None, {}, "word", [None], [[]], [1], [{}], [{"intel_quote": "00"}]])
def test_copies_that_are_none(copies: object) -> None:
    report = altered(NANOGPT, lambda body: body.update(all_attestations=copies))
    assert judge_capture(report, NANOGPT).outcome is Outcome.REJECTED


@pytest.mark.parametrize("copies", [[], ...])
def test_a_report_need_not_repeat_itself(copies: object) -> None:
    def change(body: dict[str, object]) -> None:
        body["all_attestations"] = copies
        if copies is ...:
            del body["all_attestations"]

    assert judge_capture(altered(NANOGPT, change), NANOGPT).verified


def test_the_outer_quote_may_differ_in_case_only() -> None:
    assert judge_capture(
        altered(NANOGPT, lambda body: body.update(quote=body["quote"].upper(), all_attestations=[])), NANOGPT
    ).verified


def test_the_policy_of_another_front_refuses() -> None:
    from teeverify.errors import ConfigurationError

    for name, other in ((NANOGPT, VENICE), (VENICE, CHUTES)):
        with pytest.raises(ConfigurationError):
            judge_capture(capture(name), other)
