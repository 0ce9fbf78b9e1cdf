"""Verdicts: no truth value, `require`, and a repr of one line that shows nothing secret."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from teeverify.errors import InconclusiveError, RejectedError, VerificationError
from teeverify.providers.near import NearVerifier
from teeverify.verdict import AttestationVerdict, Outcome, Status

from .subjects import NOW, policy_of, report_of, roots


def _verdict(outcome: Outcome = Outcome.VERIFIED) -> AttestationVerdict:
    report = report_of()
    if outcome is Outcome.REJECTED:
        report = attrs.evolve(report, nonce=bytes(32))
    if outcome is Outcome.INCONCLUSIVE:
        report = attrs.evolve(report, exchanges=report.exchanges[:1])
    verdict = NearVerifier(policy_of(), roots=roots()).verify_saved(report, now=NOW)
    assert verdict.outcome is outcome
    return verdict


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("use", [bool, lambda v: not v, lambda v: v and 1, lambda v: 1 if v else 2], ids=range(4))
def test_a_verdict_has_no_truth_value(outcome: Outcome, use: Callable[[AttestationVerdict], object]) -> None:
    with pytest.raises(TypeError, match=r"verdict\.require\(\).*verdict\.outcome is Outcome\.VERIFIED"):
        use(_verdict(outcome))


def test_require() -> None:
    good = _verdict()
    assert good.require() is good
    with pytest.raises(RejectedError) as rejected:
        _verdict(Outcome.REJECTED).require()
    with pytest.raises(InconclusiveError) as inconclusive:
        _verdict(Outcome.INCONCLUSIVE).require()
    for raised in (rejected.value, inconclusive.value):
        assert isinstance(raised, VerificationError)
        assert str(raised) == raised.verdict.conclusion
        assert "\n" not in str(raised)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_verified_is_the_outcome(outcome: Outcome) -> None:
    assert _verdict(outcome).verified is (outcome is Outcome.VERIFIED)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_repr_is_one_short_line(outcome: Outcome) -> None:
    verdict = _verdict(outcome)
    text = repr(verdict)
    assert "\n" not in text
    assert len(text) < 250
    assert text.startswith(f"<AttestationVerdict {outcome.value} near ")
    assert verdict.nonce not in text


def test_repr_of_a_hostile_model_name() -> None:
    verdict = attrs.evolve(_verdict(), model="x\n\x1b[2J\u202e" + "y" * 20)
    assert "\n" not in repr(verdict)
    assert "\x1b" not in repr(verdict)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_conclusion_is_one_line_that_begins_with_the_outcome(outcome: Outcome) -> None:
    verdict = _verdict(outcome)
    assert verdict.conclusion.startswith(f"{outcome.value} as of 2026-06-15 12:00:00 UTC under policy ")
    assert "\n" not in verdict.conclusion
    assert policy_of().digest[:12] in verdict.conclusion


def test_the_checks_are_those_of_the_subjects() -> None:
    verdict = _verdict()
    assert verdict.checks == tuple(check for subject in verdict.subjects for check in subject.checks)
    assert len(verdict.checks) == 2 * len(NearVerifier.applicable)


def test_verdicts_and_their_parts_are_frozen() -> None:
    verdict = _verdict()
    for value, name in ((verdict, "outcome"), (verdict.subjects[0], "outcome"), (verdict.checks[0], "status")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, name, Outcome.VERIFIED)
    assert not hasattr(verdict, "__dict__")


def test_equal_evidence_gives_an_equal_verdict() -> None:
    assert _verdict() == _verdict()
    assert _verdict() != _verdict(Outcome.REJECTED)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.INCONCLUSIVE])
def test_the_deciding_checks_of_a_subject(outcome: Outcome) -> None:
    verdict = _verdict(outcome)
    for subject in verdict.subjects:
        status = Status.FAIL if subject.outcome is Outcome.REJECTED else Status.UNEVALUATED
        assert subject.deciding
        assert all(check.status is status and check.enforced for check in subject.deciding)
