"""Judging altered reports: every one as of the same time and under the same policy as the untouched report."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timezone
from typing import TypeAlias

from attrs import field, frozen

from ..appraisal import root_causes
from ..errors import ConfigurationError
from ..saved import SavedReport
from ..verdict import AttestationVerdict, CheckResult, Outcome, Status, SubjectVerdict
from ..verifier import Verifier
from .alteration import Alteration

__all__ = ["Category", "Row", "SelftestResult", "judge_alterations"]


class Category(enum.Enum):
    """What an altered report came to, against what it should come to."""

    REFUSED = "refused"
    """REJECTED: an enforced check failed."""
    NOT_EVALUATED = "not_evaluated"
    """INCONCLUSIVE: no prompt would leave either."""
    WAIVED = "waived"
    """VERIFIED, and only checks that the policy waives noticed or could have noticed."""
    UNMEASURED = "unmeasured"
    """VERIFIED, and that is right: no check depends on the field."""
    ACCEPTED = "accepted"
    """VERIFIED although the field is signed or pinned: a failure of teeverify."""


@frozen(kw_only=True)
class Row:
    """What one alteration came to.

    ``outcome`` is that of the altered report, or of the altered instances: another one may make a report VERIFIED where
    the policy takes any. ``checks`` are the ids that decide, root causes first;
    for ``waived`` the waived checks, for ``accepted`` those of which one should have refused; empty where the verifier
    would not even judge the altered report. ``reason`` is the reason code of the first one that decided, ``why`` the
    sentence that says why a field is unmeasured.
    """

    subject: str
    field: str
    kind: str
    outcome: Outcome
    category: Category
    checks: tuple[str, ...]
    reason: str = ""
    why: str = ""


@frozen(kw_only=True)
class SelftestResult:
    """All rows of one self-test, in a fixed order, and what they were judged under.

    ``untouched`` is the verdict on the report as it is, which is VERIFIED. ``report_digest`` is the SHA-256 (hex) of
    its file, empty where it was not read from one.
    """

    untouched: AttestationVerdict = field(repr=False)
    report_digest: str
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by category, in the order of `Category`."""
        return {each.value: sum(row.category is each for row in self.rows) for each in Category}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Ids of the subjects that are not VERIFIED as they are, so that nothing is shown by altering them."""
        return tuple(subject.id for subject in self.untouched.subjects if not subject.verified)

    @property
    def accepted(self) -> tuple[Row, ...]:
        """The rows that should have been refused and were not; empty where teeverify did its work."""
        return tuple(row for row in self.rows if row.category is Category.ACCEPTED)


def judge_alterations(
    report: SavedReport,
    alterations: Callable[[], Iterable[Alteration]],
    verifier: Verifier,
    *,
    at: datetime | None,
    now: datetime | None,
    on_result: Callable[[Row], None] | None,
) -> SelftestResult:
    """Judge the untouched report, then every altered one; ``on_result`` is given each row as it comes.

    Raises:
        VerificationError: the untouched report is not VERIFIED, so that nothing could be shown with it.
        ConfigurationError: the report is of another provider than the verifier.
        RuntimeError: an alteration changes nothing.
    """
    clock = datetime.now(timezone.utc) if now is None else now
    untouched = verifier.verify_saved(report, at=at, now=clock).require()
    rows: list[Row] = []
    for alteration in alterations():
        if alteration.concerns and not _verified(untouched, alteration.concerns):
            continue  # nothing rests on these instances, and what is refused anyway shows nothing
        altered = alteration.make()
        if altered == report:
            raise RuntimeError(f"altering {alteration.name} ({alteration.kind}) changed nothing")
        try:
            verdict = verifier.verify_saved(altered, at=untouched.evaluated_at, now=clock)
        except ConfigurationError:  # the verifier is for something else than this report claims to be
            rows.append(_row(alteration, Outcome.REJECTED, (Category.REFUSED, (), "not_judged")))
        else:
            rows.append(_judged(alteration, verdict, untouched))
        if on_result is not None:
            on_result(rows[-1])
    return SelftestResult(untouched=untouched, report_digest=report.digest, rows=tuple(rows))


_Finding: TypeAlias = tuple[Category, tuple[str, ...], str]
"""Category, checks and reason code."""


def _row(alteration: Alteration, outcome: Outcome, finding: _Finding) -> Row:
    category, checks, reason = finding
    return Row(
        subject=alteration.subject,
        field=alteration.field,
        kind=alteration.kind,
        outcome=outcome,
        category=category,
        checks=checks,
        reason=reason,
        why=alteration.unmeasured if category is Category.UNMEASURED else "",
    )


def _judged(alteration: Alteration, verdict: AttestationVerdict, untouched: AttestationVerdict) -> Row:
    """What is not VERIFIED was refused, whatever the table says: the report, or the instances that were altered."""
    own = _no_longer_verified(alteration, verdict, untouched)
    if verdict.outcome is Outcome.VERIFIED and not (own and _gone(alteration, verdict, untouched)):
        return _row(alteration, verdict.outcome, _accepted(alteration, verdict, untouched))
    rejected = any(subject.outcome is Outcome.REJECTED for subject in own or verdict.subjects)
    outcome = Outcome.REJECTED if rejected else Outcome.INCONCLUSIVE
    deciding = _deciding(own or verdict.subjects, outcome)
    category = Category.REFUSED if rejected else Category.NOT_EVALUATED
    return _row(alteration, outcome, (category, _ids(deciding), deciding[0].reason if deciding else ""))


def _no_longer_verified(
    alteration: Alteration, verdict: AttestationVerdict, untouched: AttestationVerdict
) -> tuple[SubjectVerdict, ...]:
    """The altered subjects that were VERIFIED and are not, under their own ids or under new ones."""
    before = _verified(untouched, alteration.concerns)
    known = {subject.id for subject in untouched.subjects}
    return tuple(
        subject
        for subject in verdict.subjects
        if before and not subject.verified and (subject.id in before or subject.id not in known)
    )


def _gone(alteration: Alteration, verdict: AttestationVerdict, untouched: AttestationVerdict) -> bool:
    """True where a VERIFIED verdict rests on none of the altered instances any more, and on nothing new."""
    before = _verified(untouched, alteration.concerns)
    keys = {key for subject in untouched.subjects if subject.id in before for key in _keys(subject)}
    vouched = _vouched(verdict)
    return not _verified(verdict, before) and not keys & vouched and vouched <= _vouched(untouched)


def _verified(verdict: AttestationVerdict, ids: Collection[str]) -> frozenset[str]:
    """Those of the subjects that are VERIFIED."""
    return frozenset(subject.id for subject in verdict.subjects if subject.id in ids and subject.verified)


def _accepted(alteration: Alteration, verdict: AttestationVerdict, untouched: AttestationVerdict) -> _Finding:
    """What it means that the altered report is VERIFIED."""
    if _vouched(verdict) - _vouched(untouched):  # whatever was altered, nothing may make it vouch for another key
        return Category.ACCEPTED, tuple(sorted(alteration.guards)), "other_attested_key"
    noticed = _noticed_by_waived(verdict, untouched)
    if noticed:
        return Category.WAIVED, _ids(noticed), noticed[0].reason
    if alteration.unmeasured:
        return Category.UNMEASURED, (), ""
    if alteration.guards and alteration.guards <= _waived_for(alteration.subject, untouched):
        return Category.WAIVED, tuple(sorted(alteration.guards)), ""
    return Category.ACCEPTED, tuple(sorted(alteration.guards)), ""


def _deciding(subjects: Iterable[SubjectVerdict], outcome: Outcome) -> list[CheckResult]:
    """What forces the outcome, root causes first, then what merely waits for them."""
    pairs = [(subject.id, check) for subject in subjects for check in subject.checks if check.decides is outcome]
    causes = [check for _, check in root_causes(pairs)]
    return [*causes, *(check for _, check in pairs if not any(check is cause for cause in causes))]


def _ids(checks: Iterable[CheckResult]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check.id for check in checks))


def _vouched(verdict: AttestationVerdict) -> set[tuple[str, str]]:
    """Every key that a VERIFIED verdict stands for."""
    keys = {key for subject in verdict.subjects for key in _keys(subject)}
    spki = verdict.attested_tls_spki
    return keys | ({("tls", spki.hex())} if spki is not None else set())


def _keys(subject: SubjectVerdict) -> set[tuple[str, str]]:
    return {(key.use, key.public_key or key.address) for key in subject.attested_keys}


def _noticed_by_waived(verdict: AttestationVerdict, untouched: AttestationVerdict) -> list[CheckResult]:
    """Waived checks that do not pass, and found something else about the untouched report."""
    before = {(subject.id, check.id): check for subject in untouched.subjects for check in subject.checks}
    return [
        check
        for subject in verdict.subjects
        for check in subject.checks
        if not check.enforced
        and check.status in (Status.FAIL, Status.UNEVALUATED)
        and _found(check) != _found(before.get((subject.id, check.id)))
    ]


def _found(check: CheckResult | None) -> object:
    return None if check is None else (check.status, check.reason, check.expected, check.observed)


def _waived_for(subject_id: str, verdict: AttestationVerdict) -> set[str]:
    """Ids of the checks that the policy waives for that subject, or for any where the field is the session's."""
    own = [subject for subject in verdict.subjects if subject.id == subject_id]
    return {check.id for subject in own or verdict.subjects for check in subject.checks if not check.enforced}
