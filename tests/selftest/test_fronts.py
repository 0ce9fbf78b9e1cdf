"""Sessions with fronts: NanoGPT's and Venice's captures, and synthetic ones with RedPill and a vllm-proxy."""

from __future__ import annotations

import functools
import json
import re

import pytest

from captures import capture_path, policy_path
from teeverify.check_ids import KNOWN
from teeverify.errors import ConfigurationError, FormatError
from teeverify.policy import Policy
from teeverify.providers.fronts import FRONT_CHECKS
from teeverify.providers.vllm_proxy import VllmProxyVerifier
from teeverify.registry import verifier_for
from teeverify.saved import SavedReport
from teeverify.selftest import Alteration, Category, Row, alterations
from teeverify.selftest.alteration import UNLISTED
from teeverify.selftest.front_rules import FRONT_RULES, FRONT_UNMEASURED
from teeverify.testing import FrontSession, front_policy, trust_roots

from .sessions import FORM, Session
from .test_tables import PAGE

CAPTURES = {"nanogpt-phala-2026-06-10": (400, 2), "venice-2026-06-10": (540, 5)}
"""How many alterations there are at least, and every which one is judged."""


def made(provider: str, shape: str = "dstack", **options: object) -> Session:
    """A synthetic session with one GPU, VERIFIED under its policy."""
    session = FrontSession.build(provider, shape, **options)  # type: ignore[arg-type]
    report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
    verifier = verifier_for(provider)(Policy.from_toml(front_policy(session)), roots=trust_roots())
    return Session(report=report, verifier=verifier)


@functools.cache
def proxy() -> Session:
    """A vllm-proxy that was asked for the form with its TLS key."""
    return made("vllm-proxy", tls_bound=True, algorithm="ed25519")


@functools.cache
def venice() -> Session:
    """Venice, with everything that it shows twice."""
    return made("venice")


def held(chosen: tuple[Alteration, ...], rows: tuple[Row, ...]) -> None:
    """Nothing is accepted, and what is refused is refused by the check that should."""
    for alteration, row in zip(chosen, rows, strict=True):
        assert row.category not in (Category.ACCEPTED, Category.WAIVED), (alteration.name, row.kind)
        if row.category is not Category.UNMEASURED and not alteration.unmeasured:
            allowed = alteration.guards | (FORM if row.kind != "changed" else set())
            assert allowed & set(row.checks), (alteration.name, row.kind, row.checks)


@pytest.mark.parametrize("name", CAPTURES)
def test_a_part_of_a_capture(name: str) -> None:
    least, step = CAPTURES[name]
    report = SavedReport.from_bytes(capture_path(name).read_bytes())
    verifier = verifier_for(report.provider)(Policy.load(policy_path(name)))
    session = Session(report=report, verifier=verifier)
    every = session.altered(lambda each: True)
    assert len(every) >= least
    assert not [each.place for each in every if each.unmeasured == UNLISTED]
    chosen = every[::step]
    held(chosen, session.judged(chosen).rows)


def test_the_request_and_the_surroundings_of_a_proxy() -> None:
    chosen = proxy().altered(lambda each: each.subject == "session")
    rows = proxy().judged(chosen).rows
    held(chosen, rows)
    free = {(row.field, row.kind) for row in rows if row.category is Category.UNMEASURED}
    assert free == {
        ("recorded_at", "moved by a second"),
        ("model, in every place", "changed"),
        ("request / URL / host", "changed"),
        ("answer / headers that nothing reads", "removed"),
    }
    found = {(row.field, row.kind): row.checks for row in rows}
    assert "channel.tls_spki" in found["connection's key", "changed"]
    assert "binding.report_data" in found["request / URL / version", "removed"]
    assert "evidence.wellformed" in found["second answer", "added"]
    assert "freshness.nonce_bound" in found["nonce, in every unsigned place", "replayed"]


def test_a_proxy_without_its_tls_key() -> None:
    """The policy waives what would need the key, and the other form is one more alteration."""
    session = made("vllm-proxy")
    names = (
        "session / request / URL / version",
        "session / connection's key",
        "session / request / URL / signing_algo",
    )
    found = {(row.field, row.kind): row for row in session.judged(session.named(*names)).rows}
    assert "binding.tls_spki" in found["request / URL / version", "added"].checks
    assert found["connection's key", "changed"].category is Category.WAIVED
    assert found["request / URL / signing_algo", "removed"].category is Category.UNMEASURED


@pytest.mark.parametrize(("shown", "first"), [("quote", "intel_quote"), ("signing_key", "signing_public_key")])
def test_a_member_that_is_shown_twice(shown: str, first: str) -> None:
    """Altering one of the two is a contradiction; altering the first one alters both, so the check behind is met."""
    session = made("vllm-proxy") if shown == "quote" else venice()
    rows = session.judged(session.named(f"model / {shown}")).rows
    assert {(row.kind, row.category) for row in rows} >= {
        ("changed", Category.REFUSED),
        ("removed", Category.UNMEASURED),
    }
    assert all("evidence.wellformed" in row.checks for row in rows if row.kind == "changed")
    inner = session.altered(lambda each: each.name in (f"model / {first}", f"model / {first} / TD report / MRTD"))
    (changed,) = (row for row in session.judged(inner).rows if row.kind == "changed")
    assert changed.checks[0] in ("tdx.quote_signature", "binding.signing_key")
    assert "evidence.wellformed" not in changed.checks


def test_venices_words() -> None:
    """Its opinion is free; the name that it answers for is not."""
    session = venice()
    names = ("model", "verified", "model_name", "tee_hardware", "nonce", "server_verification / tdx / valid")
    rows = session.judged(session.named(*(f"model / {name}" for name in names))).rows
    found = {(row.field, row.kind): row for row in rows}
    assert found["model", "changed"].checks[0] == "evidence.complete"
    assert found["nonce", "changed"].checks[0] == "evidence.wellformed"
    for name in ("verified", "model_name", "tee_hardware", "server_verification / tdx / valid"):
        assert found[name, "changed"].category is Category.UNMEASURED, name


def test_redpills_report_in_nears_shape() -> None:
    """Every twenty-third alteration."""
    session = made("phala", "near")
    every = session.altered(lambda each: True)
    assert {each.subject for each in every} >= {"gateway", "model", "compose_manager"}
    chosen = every[::23]
    held(chosen, session.judged(chosen).rows)


@pytest.mark.parametrize("provider", ["vllm-proxy", "phala", "nanogpt", "venice"])
def test_every_place_is_in_a_table(provider: str) -> None:
    """Also in a report through a gateway, which the proxy does not have."""
    for shape in ("dstack",) if provider == "vllm-proxy" else ("dstack", "near"):
        for each in made(provider, shape).altered(lambda each: True, every_leaf=True):
            assert each.unmeasured != UNLISTED, each.place
            assert each.unmeasured or each.guards, each.place


def test_every_entry_is_used() -> None:
    sessions = (venice(), made("vllm-proxy"), made("nanogpt", "near"))
    used = {each.unmeasured for session in sessions for each in session.altered(bool, every_leaf=True)}
    assert {entry.why for entry in FRONT_UNMEASURED} <= used


def test_every_guard_is_a_check_of_the_providers() -> None:
    for _, ids in FRONT_RULES.guards:
        assert ids & set(VllmProxyVerifier.applicable)
        assert ids <= set(KNOWN)
    assert set(FRONT_CHECKS) <= set(VllmProxyVerifier.applicable)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("model.model", "changed"),
        ("model.quote", "changed"),
        ("model.nonce", "changed"),
        ("compose_manager.quote", "removed"),
        ("compose_manager.nonce", "removed"),
        ("model.vm_config.<json>.memory_size", "changed"),
        ("answer.peer_spki", "changed"),
        ("answer.second", "added"),
        ("request.url.host", "changed"),
        ("request.url.model", "removed"),
        ("request.url.signing_algo", "removed"),
        ("model.info.tcb_info.mr_aggregated", "changed"),
    ],
)
def test_what_is_next_to_an_entry_is_guarded(place: str, kind: str) -> None:
    assert FRONT_RULES.why_unmeasured(place, kind, ()) == ""
    assert FRONT_RULES.guards_of(place)


def test_the_page_says_the_same_as_the_table() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("### Fronts\n")[2]
    section = section.partition("\n### ")[0].partition("\n## ")[0]
    rows = re.findall(r"^\| .* \| (.*) \|$", section, flags=re.MULTILINE)
    listed = [row for row in rows if row not in ("Why it stays VERIFIED", "---")]
    assert sorted(listed) == sorted(entry.why for entry in FRONT_UNMEASURED)


def test_a_shape_without_a_self_test() -> None:
    session = made("phala", "chutes")
    with pytest.raises(ConfigurationError, match="no self-test for reports of phala in the shape 'chutes'"):
        list(alterations(session.report, session.verifier))


def test_no_session_of_that_front() -> None:
    session, other = made("nanogpt"), venice()
    with pytest.raises(FormatError, match="no answer to a report request to venice"):
        list(alterations(session.report, other.verifier))
