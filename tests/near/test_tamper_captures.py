"""The tamper matrix: every member of every recorded report, changed one at a time, must be refused.

What may stay VERIFIED is listed in `expectations.NEUTRAL`, with a reason for each entry, and nothing else may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from captures import NEAR_CAPTURES
from teeverify.verdict import Outcome

from .expectations import NEUTRAL, find_neutral, refusing_checks
from .mutations import mutations
from .tampering import Json, Path, Session, deciding_ids, get, nodes, put, session_of, spell

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

PARTS = ("gateway", "model.event_log", "model.info", "model.rest", "compose_manager.event_log", "compose_manager.rest")


def place_of(session: Session, path: Path) -> str:
    """A path as the table of expectations writes it."""
    for role, record in sorted(session.record_paths.items(), key=lambda item: -len(item[1])):
        if path[: len(record)] == record and (len(path) > len(record) or not record):
            own = path[len(record) :]
            if session.cloud or role != "model" or own[0] not in ("ohttp_attestation", "ohttp_key_config"):
                return re.sub(r"\.\d+(?=\.|$)", ".#", f"{role}.{spell(own)}")
            return spell(own)
    return re.sub(r"\.\d+(?=\.|$)", ".#", spell(path))


def part_of(place: str) -> str:
    """Which of `PARTS` a place belongs to."""
    for part in PARTS:
        if place.startswith(part):
            return part
    if place.startswith("compose_manager"):
        return "compose_manager.rest"
    return "gateway" if place.startswith("gateway") else "model.rest"


def every_change(session: Session, part: str) -> Iterator[tuple[str, str, Path, Json]]:
    """Place, change, path and new value of every mutation of one part of the body."""
    for path, value in nodes(session.body):
        place = place_of(session, path)
        if part_of(place) == part:
            kind = kind_of(session, path)
            for change, new in mutations(path, value):
                yield place, f"{kind}{change}", path, new


def kind_of(session: Session, path: Path) -> str:
    """A word before the change where the same place means less: firmware events, unsigned key configurations."""
    if path[-1] in ("event", "event_type", "event_payload") and get(session.body, (*path[:-1], "imr")) != 3:
        return "boot: "
    if path[-1] == "ohttp_key_config" and "ohttp_attestation" not in get(session.body, path[:-1]):
        return "unsigned: "
    return ""


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NEAR_CAPTURES)
def test_every_member_of_the_report(name: str, part: str) -> None:
    session = session_of(name, NEAR_CAPTURES[name])
    wrong, count = [], 0
    for place, change, path, new in every_change(session, part):
        if get(session.body, path) == new and type(get(session.body, path)) is type(new):
            continue
        verdict = session.judge_body(put(session.body, path, new))
        count += 1
        neutral = find_neutral(place, change)
        if verdict.outcome is Outcome.VERIFIED and neutral is None:
            wrong.append(f"VERIFIED: {change} {spell(path)}")
        elif verdict.outcome is not Outcome.VERIFIED and not deciding_ids(verdict) & refusing_checks(place, change):
            wrong.append(f"refused by {sorted(deciding_ids(verdict))}: {change} {spell(path)}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert count > 50 or part == "gateway"


def test_every_neutral_entry_is_needed() -> None:
    """An entry under which nothing is VERIFIED any more would hide a later mistake."""
    idle = dict.fromkeys(NEUTRAL, 5)
    for name, policy in reversed(NEAR_CAPTURES.items()):
        session = session_of(name, policy)
        for place, change, path, new in (found for part in PARTS for found in every_change(session, part)):
            entry = find_neutral(place, change)
            if entry is not None and idle.get(entry, 0) > 0:
                verified = session.judge_body(put(session.body, path, new)).outcome is Outcome.VERIFIED
                idle[entry] = 0 if verified else idle[entry] - 1
                if idle[entry] == 0 and verified:
                    del idle[entry]
    assert idle == {}
