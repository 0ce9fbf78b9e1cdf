"""The table of what is unmeasured: every entry is needed, documented, and covers no more than it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from teeverify.check_ids import KNOWN
from teeverify.providers.chutes import ChutesVerifier
from teeverify.providers.near import NearVerifier
from teeverify.selftest.alteration import UNLISTED, Rules, Unmeasured
from teeverify.selftest.chutes_rules import CHUTES_RULES
from teeverify.selftest.endorser_rules import ENDORSERS_UNMEASURED
from teeverify.selftest.near_rules import NEAR_RULES

from .sessions import chutes, cloud, direct

PAGE = Path(__file__).resolve().parents[2] / "docs" / "selftest.md"


def test_the_page_says_the_same_as_the_table() -> None:
    rows = re.findall(r"^\| .* \| (.*) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    reasons = {entry.why for entry in NEAR_RULES.unmeasured}
    assert reasons <= set(rows)
    start = rows.index(next(row for row in rows if row in reasons))
    listed = [row for row in rows[start:] if row not in ("Why it stays VERIFIED", "---", "Meaning")]
    assert set(listed[: len(reasons)]) == reasons


def test_every_guard_is_a_check_of_the_provider() -> None:
    for _, ids in NEAR_RULES.guards:
        assert ids
        assert ids <= set(KNOWN) & set(NearVerifier.applicable)


def test_every_place_of_a_truthful_session_is_in_a_table() -> None:
    for session in (direct(), cloud()):
        for each in session.altered(lambda each: True, every_leaf=True):
            assert each.unmeasured != UNLISTED, each.place
            assert each.unmeasured or each.guards, each.place


def test_every_entry_without_a_condition_is_used() -> None:
    used = {each.unmeasured for session in (direct(), cloud()) for each in session.altered(bool, every_leaf=True)}
    idle = {entry.why for entry in NEAR_RULES.unmeasured if not entry.given} - used
    assert idle == {"nothing signs this key configuration, so it is never offered as attested"}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("model.info.app_id", "changed"),
        ("model.info.vm_config.<json>.os_image_hash", "changed"),
        ("model.event_log.#.event:boot", "removed"),
        ("model.event_log.#.event", "changed"),
        ("model.event_log:only", "removed"),
        ("model.nvidia_payload.<json>.evidence_list.#", "removed"),
        ("model.nvidia_payload", "removed"),
        ("record.model", "removed"),
        ("record.compose_manager", "removed"),
        ("nvidia.answer", "removed"),
        ("nvidia.keys@issuing CA / public key", "changed"),
        ("answer.peer_spki", "removed"),
        ("model.intel_quote@padding", "changed"),
        ("session.recorded_at", "moved back"),
        ("request.url.host", "changed"),
        ("request.url.signing_algo", "removed"),
    ],
)
def test_what_is_next_to_an_entry_is_guarded(place: str, kind: str) -> None:
    assert NEAR_RULES.why_unmeasured(place, kind, ()) == ""
    assert NEAR_RULES.guards_of(place)


def test_a_condition_is_a_condition() -> None:
    rules = Rules(unmeasured=(Unmeasured("a", "removed", "why", given="fact"),), guards=((r"a", frozenset({"x"})),))
    assert rules.why_unmeasured("a", "removed", {"fact"}) == "why"
    assert rules.why_unmeasured("a", "removed", {"other"}) == ""
    assert rules.why_unmeasured("a", "changed", {"fact"}) == ""
    assert rules.why_unmeasured("b", "changed", {"fact"}) == UNLISTED


CHUTES_PAGE = PAGE.read_text(encoding="utf-8").partition("### Chutes\n")[2].partition("\n## ")[0]


def test_the_page_says_the_same_as_the_table_of_chutes() -> None:
    rows = re.findall(r"^\| .* \| (.*) \|$", CHUTES_PAGE, flags=re.MULTILINE)
    shared = {entry.why for entry in ENDORSERS_UNMEASURED}
    listed = [row for row in rows if row not in ("Why it stays VERIFIED", "---")]
    assert set(listed) == {entry.why for entry in CHUTES_RULES.unmeasured} - shared
    assert len(listed) == len(set(listed))
    assert shared <= {entry.why for entry in NEAR_RULES.unmeasured}, "these stand in NEAR's table"


def test_every_guard_of_chutes_is_a_check_of_the_provider() -> None:
    for _, ids in CHUTES_RULES.guards:
        assert ids & set(ChutesVerifier.applicable)
        assert ids <= set(KNOWN)


def test_every_place_of_a_chutes_session_is_in_a_table() -> None:
    used: set[str] = set()
    for mode in ("any", "all"):
        for each in chutes(mode=mode).altered(bool, every_leaf=True):
            assert each.unmeasured != UNLISTED, each.place
            assert each.unmeasured or each.guards, each.place
            used.add(each.unmeasured)
    idle = {entry.why for entry in CHUTES_RULES.unmeasured if not entry.given} - used
    assert idle == {"an exchange that this provider's verification does not ask for, so nothing in it is read"}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("key.e2e_pubkey@seed", "changed"),
        ("key.instance_id", "changed"),
        ("instance.certificate@public key", "changed"),
        ("instance.certificate@end", "byte added"),
        ("instance.certificate", "removed"),
        ("instance.quote@padding", "changed"),
        ("instance.gpu_evidence.#.arch", "changed"),
        ("instance.gpu_evidence.#", "removed"),
        ("instance.gpu_evidence", "reordered"),
        ("evidence.failed_instance_ids", "retyped"),
        ("evidence.failed_instance_ids:stranger", "stranger added"),
        ("evidence.evidence", "emptied"),
        ("instances.swapped", "swapped with another"),
        ("instances.key_twice", "repeated under another id"),
        ("answer.keys", "removed"),
        ("answer.models.text", "replaced by a web page"),
        ("models.chute_id", "changed"),
        ("session.model", "changed"),
        ("nvidia.answer", "removed"),
    ],
)
def test_what_is_next_to_an_entry_of_chutes_is_guarded(place: str, kind: str) -> None:
    assert CHUTES_RULES.why_unmeasured(place, kind, ()) == ""
    assert CHUTES_RULES.guards_of(place)
