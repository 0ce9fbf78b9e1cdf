"""Every attack on an ACI report is refused by the check that should."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from teeverify.testing.aci import ACI_HOST, AciSession
from teeverify.testing.aci_defects import ACI_DEFECTS
from teeverify.testing.event_log import runtime_event
from teeverify.testing.near_world import RECORDED_AT
from teeverify.verdict import Status

from .world import REJECTED, build, failing, judge

REPORT: Final = "/aci/attestation"
MALFORMED: Final = ("evidence.wellformed", "malformed")
ATTACKS: Final = [name for name, defect in ACI_DEFECTS.items() if defect.spoil is not None]
EDITS: Final = [name for name, defect in ACI_DEFECTS.items() if defect.edit is not None]


def keyset(**members: Any) -> Callable[[AciSession], object]:
    """Another keyset, shown and attested alike."""
    return lambda session: session.keyset_changes.update(members)


def _late_compose(session: AciSession) -> None:
    boot = session.gateway.boot
    session.gateway.boot = boot.with_runtime(*boot.runtime_events(), runtime_event("compose-hash", bytes(32)))


def _tls(**entry: Any) -> Callable[[AciSession], object]:
    def change(session: AciSession) -> None:
        shown = {"spki_sha256": session.gateway.fingerprint.hex(), **entry}
        session.keyset_changes["tls_public_keys"] = [shown]

    return change


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_the_check_that_should(name: str) -> None:
    session, expected = build(), ACI_DEFECTS[name].findings
    report = ACI_DEFECTS[name].report(session)
    verdict = judge(session.saved(report))
    assert verdict.outcome is REJECTED
    assert expected <= failing(verdict)
    # What cannot be judged for lack of a claim comes along; nothing that was judged may fail besides.
    failed = {(check.id, check.reason) for check in verdict.checks if check.status is Status.FAIL}
    assert failed <= expected
    assert not any(subject.attested_keys for subject in verdict.subjects)


def test_good_variants_are_verified() -> None:
    changes = (
        lambda s: setattr(s.custody, "first_v", 27),
        _tls(domain=ACI_HOST.upper()),
        _tls(),
        _tls(domain=None),
        keyset(not_after=int((RECORDED_AT + timedelta(days=400)).timestamp())),
        keyset(future=["kept", None, 3]),
        lambda s: s.keyset_changes.update(subject=f"app-id:0x{s.gateway.boot.app_id.hex()}"),
        _late_compose,
    )
    for change in changes:
        session = build()
        change(session)
        assert judge(session).verified


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_report_is_refused_by_the_check_that_should(name: str) -> None:
    session = build()
    verdict = judge(session.saved(ACI_DEFECTS[name].report(session)))
    assert verdict.outcome is REJECTED
    assert ACI_DEFECTS[name].findings <= failing(verdict)
