"""What the checks say of an enclave beyond attacks: unknown expectations, pins, dates, absent and hostile documents."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from teeverify.checks.catalogue import all_checks, get_check
from teeverify.claims.problem import Problem, ProblemKind, UnjudgeableError
from teeverify.claims.subject import Subject
from teeverify.conclusion import earliest_end
from teeverify.derivation.nitro import derive_nitro, served_document
from teeverify.policy import Policy, Waiver
from teeverify.testing.cbor import encode
from teeverify.verdict import CheckResult, Outcome, Status

from . import test_attacks
from .enclaves import AT, CHALLENGE, PKI, ROOTS, checks_of, enclave, judge, policy_of, subject_of

GOOD: Final = subject_of(enclave().document())
DAY: Final = timedelta(days=1)


def problem(kind: ProblemKind) -> Problem:
    return Problem(kind=kind, code="some_code", detail="a part is not there", where="somewhere")


def with_nitro(**changes: Any) -> Subject:
    assert GOOD.nitro is not None
    return evolve(GOOD, nitro=evolve(GOOD.nitro, **changes))


def find(check_id: str, subject: Subject, policy: Policy | None = None) -> CheckResult:
    return checks_of(judge(subject, policy))[check_id]


def test_every_reason_of_the_theme_is_reached() -> None:
    """By an attack, or by a test of this file."""
    here = {("nitro.user_data", "no_expectation"), ("nitro.pcrs", "incomplete_pins"), ("nitro.cert_chain", "chain_key")}
    here |= {("nitro.cert_chain", "chain_length")}
    theme = [check for check in all_checks() if check.id.startswith("nitro.")]
    assert len(theme) == 6
    declared = {(check.id, reason) for check in theme for reason in check.reasons}
    assert {(attack.check, attack.reason) for attack in test_attacks.ATTACKS} | here >= declared


@pytest.mark.parametrize("code", ["chain_key", "chain_length"])
def test_an_invalid_chain_fails_with_its_code(code: str) -> None:
    refused = Problem(kind=ProblemKind.INVALID, code=code, detail="the chain is odd")
    result = find("nitro.cert_chain", with_nitro(trust=refused))
    assert (result.status, result.reason) == (Status.FAIL, code)
    assert code in get_check("nitro.cert_chain").reasons


def test_an_unknown_signing_key_is_never_a_pass_and_no_certificate_means_that_none_is_relied_on() -> None:
    unknown = find("nitro.user_data", with_nitro(signing_key_sha256=None))
    assert (unknown.status, unknown.reason) == (Status.UNEVALUATED, "no_expectation")
    unused = find("nitro.user_data", with_nitro(tls_certificate_sha256=None))
    assert unused.status is Status.PASS
    assert "no TLS certificate is relied on" in unused.summary


@pytest.mark.parametrize("name", ["tls_certificate_sha256", "signing_key_sha256"])
def test_an_expectation_that_could_not_be_had_is_never_a_pass(name: str) -> None:
    gone = judge(with_nitro(**{name: problem(ProblemKind.UNAVAILABLE)}))
    assert gone.outcome is Outcome.INCONCLUSIVE
    assert checks_of(gone)["nitro.user_data"].reason == "some_code"


@pytest.mark.parametrize("other", ["tls_certificate_sha256", "signing_key_sha256"])
def test_a_broken_expectation_fails_whatever_is_not_known(other: str) -> None:
    known = {"tls_certificate_sha256": bytes(32), "signing_key_sha256": bytes(32), other: None}
    assert find("nitro.user_data", with_nitro(**known)).status is Status.FAIL


@pytest.mark.parametrize("kind", [ProblemKind.MALFORMED, ProblemKind.ABSENT, ProblemKind.UNAVAILABLE])
def test_without_a_document_nothing_passes(kind: ProblemKind) -> None:
    verdict = judge(subject_of(problem(kind)))
    needing = {i for i in checks_of(verdict) if i.startswith("nitro.")} | {"freshness.nonce_bound"}
    assert {checks_of(verdict)[i].status for i in needing} == {Status.UNEVALUATED}
    expected = Outcome.INCONCLUSIVE if kind is ProblemKind.UNAVAILABLE else Outcome.REJECTED
    assert verdict.outcome is expected
    failing = {ProblemKind.MALFORMED: {"evidence.wellformed"}, ProblemKind.ABSENT: {"evidence.complete"}}
    assert {c.id for c in verdict.checks if c.status is Status.FAIL} == failing.get(kind, set())


def test_an_untrusted_document_dates_no_report() -> None:
    subject = subject_of(enclave(signature=bytes(96)).document())
    assert find("saved.recorded_at", subject).reason == "no_signed_time"
    assert find("saved.recorded_at", GOOD).status is Status.PASS


@pytest.mark.parametrize(
    ("recorded_at", "reason"),
    [
        (AT - timedelta(seconds=301), "before_signed_time"),
        (AT - timedelta(seconds=299), ""),
        (AT + timedelta(seconds=599), ""),
        (AT + timedelta(seconds=601), "after_signed_end"),
    ],
)
def test_the_date_of_a_saved_report(recorded_at: Any, reason: str) -> None:
    later = evolve(GOOD, recorded_at=recorded_at, wall_clock=AT + DAY)
    assert find("saved.recorded_at", later).reason == reason


@pytest.mark.parametrize(("offset", "reason"), [(-60, ""), (-61, "in_future"), (0, ""), (300, ""), (301, "too_old")])
def test_a_live_document_is_judged_by_the_clock(offset: int, reason: str) -> None:
    at = AT + timedelta(seconds=offset)
    made = enclave(leaf=PKI.leaf(enclave().chain[-1], AT - timedelta(minutes=5))).document()
    live = subject_of(made, at=at, recorded_at=None)
    assert find("nitro.timestamp", live).reason == reason


def test_the_verdict_ends_with_the_certificate() -> None:
    assert GOOD.nitro is not None
    end = earliest_end([GOOD], policy_of(), AT)
    assert end == GOOD.nitro.chain.not_after == AT + timedelta(hours=3)  # type: ignore[union-attr]


def test_which_nonce_is_looked_for() -> None:
    binding = GOOD.binding
    other = evolve(GOOD, binding=evolve(binding, asked_nonce=bytes(20)))
    assert find("freshness.nonce_bound", other).reason == "asked_other_nonce"
    whole = evolve(GOOD, binding=evolve(binding, asked_nonce=CHALLENGE))
    assert find("freshness.nonce_bound", whole).reason == "asked_other_nonce"
    none = evolve(GOOD, binding=evolve(binding, asked_nonce=problem(ProblemKind.INVALID)))
    assert find("freshness.nonce_bound", none).reason == "no_client_nonce"
    for nothing in (None, b""):
        empty = subject_of(enclave(nonce=nothing).document(), challenge=b"")
        assert find("freshness.nonce_bound", empty).reason == "nonce_mismatch"


_WHOLE: Final = dict(enclave().pinned_pcrs)


@pytest.mark.parametrize("missing", ["pcr0", "pcr1", "pcr2"])
def test_a_table_must_name_the_whole_image(missing: str) -> None:
    partial = {name: value for name, value in _WHOLE.items() if name != missing}
    policy = policy_of(pcrs=(_WHOLE, partial))
    assert find("nitro.pcrs", GOOD, policy).reason == "incomplete_pins"
    assert find("policy.pinned", GOOD, policy).reason == "incomplete_pins"


def test_one_table_must_match_wholly() -> None:
    other = {"pcr0": b"\1" * 48, "pcr1": b"\1" * 48, "pcr2": b"\1" * 48}
    assert find("nitro.pcrs", GOOD, policy_of(pcrs=(other, _WHOLE))).status is Status.PASS
    mixed = ({**_WHOLE, "pcr0": b"\1" * 48}, {**_WHOLE, "pcr2": b"\1" * 48})
    result = find("nitro.pcrs", GOOD, policy_of(pcrs=mixed))
    assert (result.status, result.reason) == (Status.FAIL, "not_pinned")
    assert "PCR0" in result.summary
    assert (result.expected, result.observed) == ("01" * 48, _WHOLE["pcr0"].hex())


@pytest.mark.parametrize(("index", "value"), [(3, b"\1" * 48), (31, bytes(48)), (8, b"\1" * 48)])
def test_a_further_register_is_compared_too(index: int, value: bytes) -> None:
    policy = policy_of(pcrs=({**_WHOLE, f"pcr{index}": value},))
    assert find("nitro.pcrs", GOOD, policy).reason == "not_pinned"
    assert find("nitro.pcrs", GOOD, policy_of(pcrs=({**_WHOLE, "pcr3": bytes(48)},))).status is Status.PASS


def test_an_enclave_without_pins() -> None:
    policy = policy_of(pcrs=None, compose=(bytes(32),))
    verdict = judge(GOOD, policy)
    assert checks_of(verdict)["nitro.pcrs"].status is Status.NOT_APPLICABLE
    assert checks_of(verdict)["policy.pinned"].reason == "incomplete_pins"
    assert verdict.outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    "idle", [{"mr_seam": (bytes(48),)}, {"compose": (bytes(32),)}, {"signing_keys": (bytes(32),)},
             {"tls_spki": (bytes(32),)}, {"app_ids": (bytes(20),)}],
)  # fmt: skip
def test_pins_of_other_machines_are_not_passed_over(idle: dict[str, Any]) -> None:
    assert find("policy.pinned", GOOD, policy_of(**idle)).reason == "unenforced_pin"


def test_the_pin_may_not_be_waived_away() -> None:
    policy = evolve(policy_of(), waivers=(Waiver(check="nitro.pcrs", reason="a test"),))
    assert find("policy.pinned", GOOD, policy).reason == "waived_pin"


def test_a_check_of_quotes_cannot_pass_on_an_enclave() -> None:
    with pytest.raises(UnjudgeableError, match="REPORTDATA"):
        get_check("binding.report_data").judge(GOOD, policy_of())


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_make_claims(data: bytes) -> None:
    claims = derive_nitro(data, at=AT, roots=ROOTS)
    assert isinstance(claims.document, Problem)
    assert claims.genuine_document is None
    with contextlib.suppress(UnicodeDecodeError):
        assert isinstance(served_document(data), (bytes, Problem))


_NAMES: Final = sorted(enclave()._members().keys() - {"module_id"})  # which proves nothing, and may be any text
_ODD: Final = (
    st.none()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=60)
    | st.text(max_size=10)
    | st.lists(st.binary(max_size=9))
)


@given(st.dictionaries(st.sampled_from(_NAMES), _ODD, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_odd_members_are_never_verified(members: dict[str, Any]) -> None:
    """Members of any type, signed by the genuine key."""
    good = enclave()._members()
    assume(any(good[name] != value for name, value in members.items()))
    with contextlib.suppress(OverflowError):  # of the encoder
        payload = encode({**good, **members})
        verdict = judge(subject_of(enclave(payload=payload).document()))
        assert verdict.outcome is not Outcome.VERIFIED
