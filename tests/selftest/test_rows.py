"""What the alterations of truthful sessions come to."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from teeverify.errors import ConfigurationError, InconclusiveError, RejectedError
from teeverify.providers.near import NearVerifier
from teeverify.selftest import Category, Row, SelftestResult, alterations, selftest
from teeverify.selftest.alteration import UNLISTED
from teeverify.verdict import Outcome

from .sessions import FORM, cloud, direct

UNMEASURED = {
    ("session", "recorded_at", "moved by a second"),
    ("session", "model, in every place", "changed"),
    ("session", "request / URL / host", "changed to another model's host"),
    ("session", "answer / headers that nothing reads", "removed"),
    ("model", "info / app_cert", "removed"),
    ("model", "info / app_name", "changed"),
    ("model", "info / key_provider_info", "removed"),
    ("model", "info / vm_config", "removed"),
    ("model", "ohttp_key_config", "removed"),
    ("model", "ohttp_attestation", "removed"),
    ("model", "intel_quote / padding", "removed"),
    ("model", "event_log", "removed"),
    ("model", "info / tcb_info / event_log", "removed"),
    *(("model", f"event_log[0].{name}", "changed") for name in ("event", "event_payload", "event_type")),
    ("model", "nvidia_payload / arch", "removed"),
    *(("model", f"nvidia_payload / evidence_list[0].{name}", "removed") for name in ("nonce", "arch")),
    ("model", "all_attestations", "removed"),
    ("compose_manager", "report_data", "removed"),
    ("compose_manager", "vm_config", "changed"),
    ("compose_manager", "vm_config", "removed"),
    ("compose_manager", "quote / padding", "removed"),
    ("Intel", "PCK revocation list / issuer chain", "removed"),
    ("NVIDIA", "answer / request body", "removed"),
    ("NVIDIA", "key set / issuing CA / signature", "changed"),
    ("NVIDIA", "key set / other key", "changed"),
}
ANSWERS = ("TCB info", "QE identity", "PCK revocation list", "root revocation list")


@pytest.fixture(scope="module")
def whole() -> SelftestResult:
    """All of a direct session; the one complete run of these tests."""
    return selftest(direct().report, direct().verifier)


def of(result: SelftestResult, category: Category) -> list[Row]:
    return [row for row in result.rows if row.category is category]


def test_nothing_is_accepted_and_every_refusal_comes_from_its_guard(whole: SelftestResult) -> None:
    assert whole.untouched.outcome is Outcome.VERIFIED
    assert whole.report_digest == direct().report.digest
    assert whole.accepted == ()
    assert of(whole, Category.WAIVED) == []
    made = list(alterations(direct().report, direct().verifier))
    assert [(each.subject, each.field, each.kind) for each in made] == [
        (row.subject, row.field, row.kind) for row in whole.rows
    ]
    for alteration, row in zip(made, whole.rows, strict=True):
        if row.category in (Category.REFUSED, Category.NOT_EVALUATED):
            allowed = alteration.guards | (FORM if row.kind != "changed" else set())
            assert allowed & set(row.checks), (alteration.name, row.kind, row.checks)
            assert row.reason
    assert 400 < len(whole.rows) < 500


def test_only_the_listed_fields_stay_verified(whole: SelftestResult) -> None:
    found = {(row.subject, row.field, row.kind) for row in of(whole, Category.UNMEASURED)}
    brought = {("Intel", f"{name} / connection's key", "removed") for name in ANSWERS}
    brought |= {("NVIDIA", f"{name} / connection's key", "removed") for name in ("answer", "key set")}
    key, header = "connection's key", "headers that nothing reads"
    headers = {(subject, field.replace(key, header), kind) for subject, field, kind in brought}
    settings = {row for row in found if row[1].startswith("info / vm_config / ")}
    assert found - brought - headers - settings == UNMEASURED
    assert len(settings) > 5
    assert ("model", "info / vm_config / os_image_hash", "changed") not in settings
    for row in of(whole, Category.UNMEASURED):
        assert (row.outcome, row.checks) == (Outcome.VERIFIED, ())
        assert row.why not in ("", UNLISTED)


def test_a_missing_answer_is_not_evaluated(whole: SelftestResult) -> None:
    found = of(whole, Category.NOT_EVALUATED)
    assert {row.outcome for row in found} == {Outcome.INCONCLUSIVE}
    fields = {(row.field, row.kind) for row in found}
    assert {(name, "removed") for name in (*ANSWERS, "answer", "key set")} <= fields
    assert ("connection's key", "removed") in fields


@pytest.mark.parametrize(
    ("name", "kind", "first", "reason"),
    [
        ("session / nonce, in every unsigned place", "replayed", "freshness.nonce_bound", "nonce_mismatch"),
        ("session / connection's key", "changed", "channel.tls_spki", "other_key"),
        ("model / signing_public_key", "changed", "binding.signing_key", "other_address"),
        ("model / intel_quote / TD report / MRTD", "changed", "tdx.quote_signature", "quote_signature_invalid"),
        ("model / event_log[0].digest", "changed", "dstack.rtmr_replay", "other_register"),
        ("model / event_log[22].digest", "changed", "dstack.event_digests", "other_digest"),
        ("model / info / tcb_info / app_compose / name", "changed", "dstack.compose_event", "other_compose"),
        (
            "model / nvidia_payload / evidence_list[0].evidence / signature",
            "changed",
            "gpu.evidence_signature",
            "signature_invalid",
        ),
        ("compose_manager / actions[0]", "removed", "binding.report_data", "actions_hash"),
        ("NVIDIA / answer / token of GPU-0 / claim measres", "changed", "gpu.nras_token", "token_digest"),
    ],
)
def test_first_cause(whole: SelftestResult, name: str, kind: str, first: str, reason: str) -> None:
    (row,) = (row for row in whole.rows if f"{row.subject} / {row.field}" == name and row.kind == kind)
    assert (row.checks[0], row.reason) == (first, reason)


def test_every_field_of_the_quotes_is_altered(whole: SelftestResult) -> None:
    for subject, name in (("model", "intel_quote"), ("compose_manager", "quote")):
        fields = {row.field for row in whole.rows if row.subject == subject and row.field.startswith(f"{name} / ")}
        assert len(fields) >= 45
        for part in ("header / version", "TD report / RTMR3", "signature", "QE report / MRSIGNER", "QE auth data"):
            assert f"{name} / {part}" in fields


def test_a_gateways_session() -> None:
    """Every thirty-first alteration, and all that are not there in a direct session."""
    session = cloud()
    every = session.altered(lambda each: True)
    new = ("vpc", "tls_certificate", "exchanges with", "request / URL")
    rows = session.judged((*every[::31], *(each for each in every if each.field.startswith(new)))).rows
    assert {row.subject for row in rows} == {"session", "gateway", "model", "compose_manager", "Intel", "NVIDIA"}
    assert not [row for row in rows if row.category in (Category.ACCEPTED, Category.WAIVED)]
    free = {row.field for row in rows if row.category is Category.UNMEASURED}
    assert {"vpc / vpc_hostname", "tls_certificate", "exchanges with log.example", "request / URL / model"} <= free
    hosts = {row.kind: row.checks for row in rows if row.field == "request / URL / host"}
    assert hosts.keys() == {"changed to a stranger's", "changed to a model's host"}


def test_the_same_report_gives_the_same_rows() -> None:
    session = direct()
    first, second = (session.judged(session.altered(lambda each: True)[::37]) for _ in range(2))
    assert first.rows == second.rows
    names = [[(each.name, each.kind) for each in session.altered(lambda each: True)] for _ in range(2)]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_every_leaf_is_more_of_the_same() -> None:
    session = direct()
    some = {(each.name, each.kind) for each in session.altered(lambda each: True)}
    every = session.altered(lambda each: True, every_leaf=True)
    assert len(every) > 2 * len(some)
    assert {("model / event_log[7].imr", "changed"), ("model / info / app_id", "null")} <= {
        (each.name, each.kind) for each in every
    }
    added = [each for each in every if (each.name, each.kind) not in some]
    assert not [row for row in session.judged(tuple(added[::90])).rows if row.category is Category.ACCEPTED]


def test_rows_are_given_as_they_come() -> None:
    session, seen = direct(), list[Row]()

    def stop(row: Row) -> None:
        seen.append(row)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        selftest(session.report, session.verifier, on_result=stop)
    assert [row.field for row in seen] == ["nonce", "model", "recorded_at"]


def test_a_report_that_is_not_verified_shows_nothing() -> None:
    session = direct()
    with pytest.raises(RejectedError):
        selftest(session.report, session.verifier, at=session.report.recorded_at + timedelta(days=60))
    without = attrs.evolve(session.report, exchanges=session.report.exchanges[:1])
    with pytest.raises(InconclusiveError):
        selftest(without, session.verifier)


def test_altered_reports_are_judged_as_of_the_same_time() -> None:
    """A moved date must be refused for what it is, not because everything has expired by then."""
    session = direct()
    moved = session.altered(lambda each: each.field == "recorded_at")
    rows = session.judged(moved).rows
    assert [row.checks for row in rows] == [("saved.recorded_at",), ("saved.recorded_at",), ()]


def test_an_alteration_that_alters_nothing_is_an_error() -> None:
    session = direct()
    idle = attrs.evolve(session.altered(lambda each: True)[0], make=lambda: session.report)
    with pytest.raises(RuntimeError, match="changed nothing"):
        session.judged((idle,))


def test_another_provider() -> None:
    class Other(NearVerifier):
        provider = "other"

    with pytest.raises(ConfigurationError, match="no self-test for provider 'other'"):
        alterations(direct().report, object.__new__(Other))
    foreign = attrs.evolve(direct().report, provider="other")
    with pytest.raises(ConfigurationError, match="of provider 'other'"):
        selftest(foreign, direct().verifier)
