"""The checks of the themes evidence, freshness, binding, channel, dstack, pins and session, one at a time."""

from __future__ import annotations

from typing import Any, Final

import attrs
import pytest

from teeverify import appraisal
from teeverify.checks import catalogue
from teeverify.checks.catalogue import Check, all_checks, failed, get_check, passed, unevaluated
from teeverify.claims.problem import ProblemKind
from teeverify.claims.subject import Subject
from teeverify.policy import ComposeFlags, Policy
from teeverify.providers.near import NearVerifier
from teeverify.verdict import CheckResult, Status

from .reasons import CASES, Case
from .subjects import NOW, change, find, policy_of, problem, subject_of, with_pins

TELLING: Final = ("pin.images_by_digest", "pin.compose_flags")
"""They say what they find where nothing is pinned."""
THEMES: Final = ("evidence", "freshness", "binding", "channel", "dstack", "pin", "policy", "saved")
MINE: Final = tuple(check.id for check in all_checks() if check.id.partition(".")[0] in THEMES)
PAIRS: Final = tuple((check_id, required) for check_id in MINE for required in get_check(check_id).requires)


@pytest.mark.parametrize(("check_id", "role"), [(i, role) for i in MINE for role in NearVerifier.applicable.get(i, ())])
def test_good_evidence_passes(check_id: str, role: str) -> None:
    shape = "cloud" if role == "gateway" else "direct"
    finding = find(check_id, subject_of(role, shape), policy_of(shape))
    unpinned = {"pin.signing_key", "pin.tls_spki"}
    if check_id in TELLING:
        assert (finding.status, finding.reason) == (Status.INFO, "not_pinned")
        return
    if check_id in unpinned and finding.status is Status.NOT_APPLICABLE:
        assert finding.reason == "not_pinned"
    else:
        assert finding.status is Status.PASS, finding


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.reason}")
def test_every_reason(case: Case) -> None:
    finding = find(case.check, case.make(), case.policy())
    assert (finding.status.value, finding.reason) == (case.status, case.reason)
    assert finding.summary
    assert finding.summary[0].islower() or finding.summary[0].isupper() or finding.summary[0].isdigit()
    assert "\n" not in finding.summary


def test_every_declared_reason_is_reached() -> None:
    declared = {(check_id, reason) for check_id in MINE for reason in get_check(check_id).reasons}
    assert {(case.check, case.reason) for case in CASES} == declared


def test_every_check_says_what_it_is() -> None:
    for check in all_checks():
        assert check.title
        assert check.explanation.endswith(".")
        assert check.source
        assert check.anchor
        assert not check.title.endswith(".")
        assert all(sentence.endswith(".") for sentence in check.reasons.values())
        assert all(required in {other.id for other in all_checks()} for required in check.requires)


def _pair(monkeypatch: pytest.MonkeyPatch, check_id: str, required: str, first: catalogue.Finding) -> CheckResult:
    """One check after a prerequisite whose finding is given."""
    prerequisite = attrs.evolve(get_check(required), judge=lambda subject, policy: first, requires=())
    check: Check = get_check(check_id)
    monkeypatch.setattr(appraisal, "all_checks", lambda: (prerequisite, check))
    appraisal._prerequisites_first.cache_clear()
    role = NearVerifier.applicable[check_id][-1]
    applicable = {required: (role,), check_id: (role,)}
    shape = "cloud" if role == "gateway" else "direct"
    results = appraisal.appraise(subject_of(role, shape), _pinning(), applicable)
    appraisal._prerequisites_first.cache_clear()
    return next(result for result in results if result.id == check_id)


def _pinning() -> Policy:
    subject = subject_of()
    key, fingerprint = subject.binding.signing_key, subject.binding.tls_fingerprint
    facts: dict[str, Any] = {"images_by_digest": True, "compose_flags": ComposeFlags(public_logs=False)}
    policy = with_pins(signing_keys=(key.address,), tls_spki=(fingerprint,), **facts)  # type: ignore[union-attr]
    beside = attrs.evolve(policy.pins["compose_manager"], **facts)
    return attrs.evolve(policy, pins={**policy.pins, "compose_manager": beside})


@pytest.mark.parametrize(("check_id", "required"), PAIRS)
def test_a_failed_prerequisite_leaves_the_check_unevaluated(
    monkeypatch: pytest.MonkeyPatch, check_id: str, required: str
) -> None:
    result = _pair(monkeypatch, check_id, required, failed("other_bytes", "bad"))
    assert (result.status, result.reason) == (Status.UNEVALUATED, "prerequisite_failed")
    assert required in result.summary


@pytest.mark.parametrize(("check_id", "required"), PAIRS)
def test_an_unevaluated_prerequisite_takes_the_pass(
    monkeypatch: pytest.MonkeyPatch, check_id: str, required: str
) -> None:
    result = _pair(monkeypatch, check_id, required, unevaluated("http_outage", "not known"))
    assert (result.status, result.reason) == (Status.UNEVALUATED, "prerequisite_unevaluated")
    assert required in result.summary
    assert _pair(monkeypatch, check_id, required, passed("good")).status is Status.PASS


_CLAIMS: Final = (
    ("freshness.nonce_bound", "binding.report_data"),
    ("binding.report_data", "binding.report_data"),
    ("binding.report_data", "binding.first_half"),
    ("binding.report_data", "binding.stated_report_data"),
    ("binding.signing_key", "binding.signing_key"),
    ("binding.tls_spki", "binding.tls_fingerprint"),
    ("binding.e2ee_key", "binding.ohttp"),
    ("binding.e2ee_key", "binding.signing_key"),
    ("channel.tls_spki", "binding.tls_fingerprint"),
    ("channel.tls_spki", "channel.peer_fingerprint"),
    ("dstack.event_digests", "dstack.logs"),
    ("dstack.rtmr_replay", "tdx.quote"),
    ("dstack.rtmr_replay", "dstack.logs"),
    ("dstack.event_order", "dstack.identity"),
    ("dstack.compose_event", "dstack.identity"),
    ("dstack.compose_event", "dstack.app_compose"),
    ("dstack.mr_config_id", "tdx.quote"),
    ("dstack.mr_config_id", "dstack.app_compose"),
    ("dstack.key_provider", "dstack.identity"),
    ("dstack.key_provider", "dstack.app_certificate"),
    ("dstack.reported_info", "dstack.identity"),
    ("dstack.reported_info", "tdx.quote"),
    ("dstack.reported_info", "tdx.pck"),
    ("pin.base_image", "tdx.quote"),
    ("pin.app_id", "dstack.identity"),
    ("pin.compose", "dstack.identity"),
    ("pin.kms_root", "dstack.identity"),
    ("pin.os_image", "dstack.identity"),
    ("pin.images_by_digest", "dstack.app_compose"),
    ("pin.compose_flags", "dstack.app_compose"),
    ("dstack.key_provider", "tdx.quote"),
    ("pin.signing_key", "binding.signing_key"),
    ("pin.tls_spki", "binding.tls_fingerprint"),
)


@pytest.mark.parametrize("kind", [ProblemKind.MALFORMED, ProblemKind.UNAVAILABLE])
@pytest.mark.parametrize(("check_id", "claim"), _CLAIMS)
def test_a_claim_that_is_not_there_is_never_a_pass(check_id: str, claim: str, kind: ProblemKind) -> None:
    gone = problem(kind)
    subject: Subject = change(subject_of(), claim, (gone,) if claim == "dstack.logs" else gone)
    finding = find(check_id, subject, _pinning())
    assert (finding.status, finding.reason) == (Status.UNEVALUATED, "some_code")
    wellformed = find("evidence.wellformed", subject).status
    assert wellformed is (Status.FAIL if kind is ProblemKind.MALFORMED else Status.PASS)


@pytest.mark.parametrize(
    ("check_id", "role", "path", "new", "reason"),
    [
        ("binding.signing_key", "compose_manager", "", None, "no_key"),
        ("binding.tls_spki", "model", "binding.tls_fingerprint", None, "not_asked"),
        ("binding.e2ee_key", "model", "binding.ohttp", None, "not_attested"),
        ("binding.same_td", "model", "", None, "no_host"),
        ("channel.tls_spki", "compose_manager", "", None, "other_hop"),
        ("saved.recorded_at", "model", "recorded_at", None, "live"),
    ],
)
def test_where_there_is_nothing_to_judge(check_id: str, role: str, path: str, new: object, reason: str) -> None:
    subject = subject_of(role)
    finding = find(check_id, change(subject, path, new) if path else subject)
    assert (finding.status, finding.reason) == (Status.NOT_APPLICABLE, reason)


@pytest.mark.parametrize("check_id", [check_id for check_id in MINE if check_id.startswith("pin.")])
def test_what_is_not_pinned_does_not_apply(check_id: str) -> None:
    if check_id == "pin.reference_current":
        return
    nothing = with_pins(base_images=None, app_ids=None, compose=None, kms_roots=None, os_images=None)
    finding = find(check_id, subject_of(), nothing)
    status = Status.INFO if check_id in TELLING else Status.NOT_APPLICABLE
    assert (finding.status, finding.reason) == (status, "not_pinned")


def test_registers_of_two_images_match_nothing() -> None:
    (image,) = policy_of().pins["model"].base_images or ()
    other = attrs.evolve(image, label="other", mrtd=b"\1" * 48, rtmr1=b"\2" * 48)
    mixed = attrs.evolve(image, rtmr1=b"\2" * 48)
    subject = subject_of()
    assert find("pin.base_image", subject, with_pins(base_images=(other, image))).status is Status.PASS
    assert find("pin.base_image", subject, with_pins(base_images=(other, mixed))).status is Status.FAIL


def test_a_pinned_rtmr3_is_enforced() -> None:
    (image,) = policy_of().pins["model"].base_images or ()
    wrong = with_pins(base_images=(attrs.evolve(image, rtmr3=bytes(48)),))
    assert find("pin.base_image", subject_of(), wrong).status is Status.FAIL


def test_signing_keys_are_pinned_by_address_or_public_key() -> None:
    key = subject_of().binding.signing_key
    for pin in (key.address, key.public_key):  # type: ignore[union-attr]
        assert find("pin.signing_key", subject_of(), with_pins(signing_keys=(b"\1" * 32, pin))).status is Status.PASS


def test_the_last_day_of_a_policy_counts() -> None:
    policy = attrs.evolve(policy_of(), valid_until=NOW.date())
    assert find("pin.reference_current", subject_of(), policy).status is Status.PASS
