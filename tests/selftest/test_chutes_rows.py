"""What the alterations of a truthful Chutes session come to, under a policy that takes any instance."""

from __future__ import annotations

from typing import Final

import pytest

from teeverify.selftest import Category, Row, SelftestResult, alterations, selftest
from teeverify.selftest.alteration import UNLISTED
from teeverify.verdict import Outcome

from .sessions import FORM, chutes

SESSION: Final = {
    ("recorded_at", "moved by a second"),
    ("model, in every place", "changed"),
    ("chute, in every place", "changed"),
    ("list of models", "removed"),
    ("list of models / status", "changed"),
    ("list of models / other models", "removed"),
    ("list of keys / instances", "reordered"),
    ("evidence / evidence", "reordered"),
    ("evidence / failed_instance_ids", "removed"),
    ("evidence / failed_instance_ids", "stranger added"),
    *((f"list of keys / nonce_expires_{name}", kind) for name in ("in", "at") for kind in ("changed", "removed")),
    *((f"list of keys / nonce_expires_{name}", "retyped") for name in ("in", "at")),
}
INSTANCE: Final = {
    *(("list of keys / nonces", kind) for kind in ("removed", "retyped", "emptied")),
    ("list of keys / nonces[0]", "changed"),
    ("quote / padding", "removed"),
    ("quote / padding", "zero byte added"),
    *((f"certificate / {name}", "changed") for name in ("serial number", "issuer", "validity", "subject")),
    *((f"certificate / {name}", "changed") for name in ("extensions", "signature")),
    ("opinions of the server", "added"),
    ("instance id, in both answers", "changed"),
    ("id of evidence and key", "swapped with another"),
    ("entry of its key", "repeated under another id"),
    ("evidence and key", "removed"),
    ("gpu_evidence[0].arch", "removed"),
    ("gpu_evidence[0].certificate / end", "zero byte added"),
}


@pytest.fixture(scope="module")
def whole() -> SelftestResult:
    """All of a session with two instances; the one complete run of these tests."""
    return selftest(chutes().report, chutes().verifier)


def of(result: SelftestResult, category: Category) -> list[Row]:
    return [row for row in result.rows if row.category is category]


def test_nothing_is_accepted_and_every_refusal_comes_from_its_guard(whole: SelftestResult) -> None:
    assert whole.untouched.outcome is Outcome.VERIFIED
    assert whole.accepted == ()
    assert whole.left_out == ()
    assert of(whole, Category.WAIVED) == []
    made = list(alterations(chutes().report, chutes().verifier))
    assert len({(each.name, each.kind) for each in made}) == len(made) == len(whole.rows) > 450
    for alteration, row in zip(made, whole.rows, strict=True):
        assert (alteration.subject, alteration.field, alteration.kind) == (row.subject, row.field, row.kind)
        if row.category in (Category.REFUSED, Category.NOT_EVALUATED) and not alteration.unmeasured:
            allowed = alteration.guards | (FORM if row.kind != "changed" else set())
            assert allowed & set(row.checks), (alteration.name, row.kind, row.checks)
            assert row.reason
            assert row.outcome is not Outcome.VERIFIED


def test_only_the_listed_fields_stay_verified(whole: SelftestResult) -> None:
    second, first = (f"instance:{name}" for name in ("b1273f09", "449a169b"))
    found: dict[str, set[tuple[str, str]]] = {}
    for row in of(whole, Category.UNMEASURED):
        assert (row.outcome, row.checks) == (Outcome.VERIFIED, ())
        assert row.why not in ("", UNLISTED)
        found.setdefault(row.subject[:17], set()).add((row.field, row.kind))
    everywhere = {pair for pair in found["session"] if "connection's key" in pair[0] or "headers" in pair[0]}
    notes = {pair for pair in found["session"] if pair[0].startswith("list of models / this model / ")}
    assert found["session"] - everywhere - notes == SESSION
    assert {name.rpartition(" / ")[2] for name, _ in notes}.isdisjoint({"id", "chute_id"})
    assert len(notes) > 3
    assert found[second] == found[first] == INSTANCE
    endorsers = {pair for subject in ("Intel", "NVIDIA") for pair in found[subject]}
    left = {pair for pair in endorsers if not pair[0].endswith(("connection's key", "headers that nothing reads"))}
    # without its body an answer may be taken for that to the question before it, which is refused
    assert left - {("answer 2 / request body", "removed")} == {
        ("PCK revocation list / issuer chain", "removed"),
        ("answer 1 / request body", "removed"),
        ("key set / issuing CA / signature", "changed"),
        ("key set / other key", "changed"),
    }


@pytest.mark.parametrize(
    ("field", "kind", "first", "reason"),
    [
        ("nonce, in every unsigned place", "replayed", "freshness.nonce_bound", "nonce_mismatch"),
        ("model", "changed", "evidence.complete", "other_model"),
        ("list of models / this model / chute_id", "changed", "evidence.complete", "other_model"),
        ("evidence / second answer", "added", "evidence.wellformed", "malformed"),
        ("request for evidence / URL / nonce", "in capitals", "freshness.nonce_bound", "no_client_nonce"),
        ("list of keys / e2e_pubkey", "space added", "evidence.wellformed", "malformed"),
        ("list of keys / e2e_pubkey / seed", "changed", "freshness.nonce_bound", "nonce_mismatch"),
        ("certificate / public key", "changed", "binding.report_data", "other_second_half"),
        ("certificate", "that of another", "binding.report_data", "other_second_half"),
        ("quote / TD report / MRTD", "changed", "tdx.quote_signature", "quote_signature_invalid"),
        ("quote", "written in hex", "evidence.wellformed", "malformed"),
        ("gpu_evidence[0].evidence / signature", "changed", "gpu.evidence_signature", "signature_invalid"),
        ("gpu_evidence", "that of another", "binding.distinct_instances", "shared"),
        ("evidence", "repeated under another id", "binding.distinct_instances", "shared"),
        ("instance id", "listed as failed too", "evidence.wellformed", "malformed"),
    ],
)
def test_first_cause(whole: SelftestResult, field: str, kind: str, first: str, reason: str) -> None:
    rows = [row for row in whole.rows if (row.field, row.kind) == (field, kind)]
    assert rows
    for row in rows:
        assert (row.outcome, row.checks[0], row.reason) == (Outcome.REJECTED, first, reason)


def test_an_answer_on_one_instance_is_refused_for_that_instance(whole: SelftestResult) -> None:
    """Intel's statement on one platform family and NVIDIA's on one instance's GPUs: the other instance holds."""
    for field in ("TCB info (90c06f000000)", "TCB info (b0c06f000000)", "answer 1", "answer 2"):
        (row,) = (row for row in whole.rows if (row.field, row.kind) == (field, "removed"))
        assert row.category is Category.NOT_EVALUATED


def test_the_same_report_gives_the_same_rows(whole: SelftestResult) -> None:
    session = chutes()
    again = session.judged(session.altered(lambda each: True)[::29])
    assert again.rows == whole.rows[::29]


def test_every_leaf_is_more_of_the_same() -> None:
    session = chutes()
    some = {(each.name, each.kind) for each in session.altered(lambda each: True)}
    every = session.altered(lambda each: True, every_leaf=True)
    added = [each for each in every if (each.name, each.kind) not in some]
    assert len(added) > 250
    assert {each.kind for each in added} >= {"null", "changed"}
    assert not [row for row in session.judged(tuple(added[::11])).rows if row.category is Category.ACCEPTED]
