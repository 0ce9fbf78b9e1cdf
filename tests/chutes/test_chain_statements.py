"""Attacks with what a true proxy signed: about another challenge, another time, or instances that are not good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from teeverify.verdict import Outcome

from .chain_world import (
    MALFORMED,
    MODES,
    OTHER,
    build,
    causes,
    document_of,
    holder,
    judge,
    judge_document,
    judge_session,
    refused,
    resigned,
    saved_with,
    truthful,
)

BINDING: Final = "receipt.binding"
NOT_READ: Final = ("receipt.signature", "malformed")


def signed(mode: str = "proxy", instances: int = 1, **changes: Any) -> Any:
    """The verdict on a document whose payload was changed before the proxy signed it."""
    session = truthful(mode, instances=instances)
    return judge_document(lambda d: resigned(d, session, **changes), mode, instances=instances)


def result(**changes: Any) -> Any:
    """The verdict on a signed receipt, in which the first of two instances has another result."""
    first, second = holder(document_of("proxy", instances=2))["payload"]["instance_results"]
    changed = {name: value for name, value in {**first, **changes}.items() if value is not ...}
    return signed(instances=2, instance_results=[changed, second])


SIGNED: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("passthrough", {"nonce": OTHER.hex()}, "other_nonce"),
    ("proxy", {"nonce": OTHER.hex()}, "other_nonce"),
    ("passthrough", {"model": "test-org/other"}, "other_model"),
    ("proxy", {"model": "test-org/other"}, "other_model"),
    ("proxy", {"model": "test-org/model-1b-TEE "}, "other_model"),
    ("passthrough", {"provider": "near"}, "other_model"),
    ("proxy", {"provider": "Chutes"}, "other_model"),
    ("passthrough", {"upstream_attestation_sha256": "00" * 32}, "payload"),
    ("passthrough", {"upstream_base_url": "https://api.chutes.example"}, "payload"),
    ("passthrough", {"upstream_base_url": ...}, "payload"),
    ("proxy", {"verify_mode": "passthrough"}, "payload"),
    ("proxy", {"verify_mode": ...}, "payload"),
    ("proxy", {"result": "PASS"}, "payload"),
    ("proxy", {"result": "fail"}, "payload"),
    ("proxy", {"result": True}, "payload"),
    ("proxy", {"result": None}, "payload"),
    ("proxy", {"result": ["pass"]}, "payload"),
    ("proxy", {"result": ...}, "payload"),
    ("proxy", {"request_hash": "00" * 32}, "payload"),
    ("proxy", {"request_hash": None}, "payload"),
    ("proxy", {"binding_signing_address": "11" * 32}, "payload"),
    ("proxy", {"binding_signing_address": 5}, "payload"),
    ("proxy", {"binding_signing_algo": "ecdsa"}, "payload"),
]


@pytest.mark.parametrize(("mode", "changes", "reason"), SIGNED)
def test_true_signatures_over_other_statements(mode: str, changes: dict[str, Any], reason: str) -> None:
    refused(signed(mode, **changes), (BINDING, reason))


def test_members_that_only_one_revision_has() -> None:
    for name in ("request_hash", "binding_signature", "binding_signing_algo", "binding_signing_address",
                 "verification_policy", "verification_policy_version"):  # fmt: skip
        left_out: dict[str, Any] = {name: ...}
        assert signed(**left_out).outcome is Outcome.VERIFIED


@pytest.mark.parametrize("value", [..., None, 5, [], "", "00", "zz" * 32], ids=str)
@pytest.mark.parametrize("name", ["nonce", "model", "provider", "upstream_attestation_sha256"])
@pytest.mark.parametrize("mode", MODES)
def test_members_that_are_missing_or_no_text(mode: str, name: str, value: Any) -> None:
    verdict = signed(mode, **{name: value})
    assert verdict.outcome is Outcome.REJECTED
    assert causes(verdict) & {NOT_READ, (BINDING, "other_model")}


@pytest.mark.parametrize("value", [..., None, True, 1.5, "1781524792", -1, 10**12, 10**30, [], {}], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_times_that_are_none(mode: str, value: Any) -> None:
    refused(signed(mode, **{"verified_at" if mode == "proxy" else "timestamp": value}), NOT_READ)


@pytest.mark.parametrize("seconds", [-301, 301, -86400, 10**9])
@pytest.mark.parametrize("mode", MODES)
def test_statements_of_another_time(mode: str, seconds: int) -> None:
    session = build(mode=mode)
    session.signed_at = session.at + timedelta(seconds=seconds)
    refused(judge_session(session), (BINDING, "other_time"))


@pytest.mark.parametrize("seconds", [-300, 300])
@pytest.mark.parametrize("mode", MODES)
def test_the_edges_of_the_window(mode: str, seconds: int) -> None:
    session = build(mode=mode)
    session.signed_at = session.at + timedelta(seconds=seconds)
    assert judge_session(session).outcome is Outcome.VERIFIED


def test_a_stale_statement_is_not_mended_by_judging_for_its_time() -> None:
    session = build(mode="proxy")
    session.signed_at = session.at - timedelta(minutes=20)
    refused(judge(session.saved(), at=session.signed_at), (BINDING, "other_time"))


def test_an_old_session_is_not_mended_by_another_date_in_the_file() -> None:
    later = {**truthful("proxy").saved(), "recorded_at": "2026-06-15T14:00:00Z"}
    refused(judge(later), (BINDING, "other_time"))


@pytest.mark.parametrize("mode", MODES)
def test_a_verdict_for_another_model_than_was_asked_for(mode: str) -> None:
    saved = {**truthful(mode).saved(), "model": "test-org/other"}
    refused(judge(saved), ("evidence.complete", "other_model"), (BINDING, "other_model"))


# --- results ----------------------------------------------------------------------------------------------------------

BAD: Final[list[dict[str, Any]]] = [
    {"tdx_status": "OutOfDate"}, {"tdx_status": "uptodate"}, {"tdx_status": None}, {"tdx_status": ["UpToDate"]},
    {"tdx_status": ...}, {"tdx_error_present": True}, {"tdx_error_present": 0}, {"tdx_error_present": ...},
    {"debug_mode_disabled": False}, {"debug_mode_disabled": 1}, {"debug_mode_disabled": "true"},
    {"debug_mode_disabled": ...}, {"binding_verified": False}, {"binding_verified": 1}, {"binding_verified": ...},
    {"errors": ["gpu_tokens_error"]}, {"errors": None}, {"errors": {}}, {"errors": ""}, {"errors": ...},
    {"actual_report_data": "00" * 32},
]  # fmt: skip


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_one_bad_instance_in_a_receipt(changes: dict[str, Any]) -> None:
    refused(result(**changes), ("receipt.consistency", "bad_result"))


@pytest.mark.parametrize(
    "changes",
    [{"gpu_token_checked": False}, {"gpu_verified": False}, {"gpu_verified": 1}, {"gpu_token_checked": ...}],
    ids=str,
)
def test_gpus_that_were_not_looked_at(changes: dict[str, Any]) -> None:
    refused(result(**changes), ("receipt.consistency", "gpu_not_verified"))


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_id": "one"}, {"instance_id": None}, {"instance_id": ...}, {"instance_id": "\x1b[2J"},
        {"expected_report_data": ...}, {"expected_report_data": "00", "actual_report_data": "00"},
        {"expected_report_data": None, "actual_report_data": None},
    ],
    ids=str,
)  # fmt: skip
def test_results_of_another_form(changes: dict[str, Any]) -> None:
    refused(result(**changes), MALFORMED)


COUNTS: Final = ("total_instances", "tdx_uptodate_instances", "binding_verified_instances")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("value", [0, 2, -1, True, 1.0, "1", None, [1]], ids=repr)
def test_counts_that_are_not_those_of_the_list(count: str, value: Any) -> None:
    verdict = signed(verification_summary={**dict.fromkeys(COUNTS, 1), count: value})
    refused(verdict, ("receipt.consistency", "bad_result"))


def test_lists_that_do_not_fit_their_counts() -> None:
    first, second = holder(document_of("proxy", instances=2))["payload"]["instance_results"]
    for results in ([first], [first, first], [first, second, second]):
        refused(signed(instances=2, instance_results=results), ("receipt.consistency", "bad_result"))
    shapes: list[Any] = [[], None, {}, "x", [first, 5], [first, None], ...]
    for shape in shapes:
        refused(signed(instances=2, instance_results=shape), MALFORMED)
    summaries: list[Any] = [None, [], 5, ...]
    for summary in summaries:
        refused(signed(instances=2, verification_summary=summary), MALFORMED)


def test_more_instances_than_any_chute_has() -> None:
    (only,) = holder(document_of("proxy"))["payload"]["instance_results"]
    many = [{**only, "instance_id": f"00000000-0000-4000-8000-{index:012x}"} for index in range(257)]
    assert signed(instance_results=many[:256], verification_summary=dict.fromkeys(COUNTS, 256)).verified
    refused(signed(instance_results=many, verification_summary=dict.fromkeys(COUNTS, 257)), MALFORMED)


def test_a_receipt_without_results_says_pass_of_nothing() -> None:
    session = build(mode="proxy")
    session.detailed = False
    refused(judge_session(session), ("receipt.consistency", "no_detail"))


def test_results_that_nobody_signed_count_for_nothing() -> None:
    names = ("verification_summary", "instance_results")
    detail = {name: holder(document_of("proxy"))["payload"][name] for name in names}
    for place in (lambda d: d, holder, lambda d: d["proxy"]):
        document = document_of("proxy")
        resigned(document, truthful("proxy"), **dict.fromkeys(names, ...))
        place(document).update(detail)
        refused(judge(saved_with(document, "proxy")), ("receipt.consistency", "no_detail"))
