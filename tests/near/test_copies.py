"""``all_attestations`` of a direct report: copies of the record that must not say anything else."""

from __future__ import annotations

import json
from typing import Final

import pytest

from captures import NEAR_CAPTURES, capture_path
from teeverify.verdict import Outcome

from .mutations import mutations
from .tampering import Json, Session, deciding_ids, nodes, put, session_of

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

_DIRECT: Final = tuple(name for name in NEAR_CAPTURES if "direct" in name)


def _with_copies(name: str) -> tuple[Session, Json]:
    session = session_of(name, NEAR_CAPTURES[name])
    document = json.loads(capture_path(name).read_bytes())
    assert len(document["exchanges"]) > 1
    own = {k: v for k, v in session.body.items() if not k.startswith(("ohttp_", "compose_manager"))}
    return session, {**session.body, "all_attestations": [own]}


@pytest.mark.parametrize("name", _DIRECT)
def test_a_copy_that_differs_is_a_record_of_its_own(name: str) -> None:
    """It lacks a compose-manager, which the policy demands, so no difference can pass."""
    session, body = _with_copies(name)
    assert session.judge_body(body).outcome is Outcome.VERIFIED
    copy = body["all_attestations"][0]
    for number, (path, value) in enumerate(nodes(copy)):
        if "<json>" in path or (number % 9 and len(path) > 2):
            continue
        for change, new in list(mutations(path, value))[:1]:
            verdict = session.judge_body(put(body, ("all_attestations", 0, *path), new))
            assert verdict.outcome is Outcome.REJECTED, (path, change)
            assert "model:2" in {subject.id for subject in verdict.subjects}


@pytest.mark.parametrize("name", _DIRECT)
def test_what_stands_in_the_place_of_the_copies(name: str) -> None:
    session, body = _with_copies(name)
    copy = body["all_attestations"][0]
    others: tuple[Json, ...] = (None, 1, "x", {}, [None], [[]], [{}], [copy, {}], [copy] * 17, copy)
    for value in others:
        verdict = session.judge_body({**body, "all_attestations": value})
        assert verdict.outcome is Outcome.REJECTED
        assert deciding_ids(verdict) & {"evidence.complete", "evidence.wellformed"}
    for count in (0, 1, 16):
        assert session.judge_body({**body, "all_attestations": [copy] * count}).outcome is Outcome.VERIFIED


@pytest.mark.parametrize("name", _DIRECT)
def test_companions_inside_a_copy_must_be_the_records_own(name: str) -> None:
    session, body = _with_copies(name)
    for member, value in (("ohttp_key_config", "00"), ("compose_manager_attestation", {"quote": "00"})):
        verdict = session.judge_body(put(body, ("all_attestations", 0, member), value))
        assert verdict.outcome is Outcome.REJECTED
