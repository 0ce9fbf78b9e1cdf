"""The three levels, live and from a file; and that no verdict claims more than was checked."""

from __future__ import annotations

from typing import Any

import pytest

from teeverify import OpenGradientVerifier
from teeverify.check_ids import MANDATORY
from teeverify.errors import ConfigurationError, PolicyError
from teeverify.policy import Policy
from teeverify.testing import OpenGradientSession, OpenGradientTransport, opengradient_policy

from .world import LEVELS, World, findings, outcome_of, report_of, saved_verdict, verifier_of

WAIVABLE = sorted(set(OpenGradientVerifier.applicable) - MANDATORY)


class Batches:
    """Counts the round trips of a flow: requests of one batch are asked at once."""

    def __init__(self, world: World) -> None:
        self.sizes: list[int] = []
        self._world = world

    def run(self) -> Any:
        flow = self._world.verifier.attestation_flow(self._world.session.model_name)
        batch = next(flow)
        try:
            while True:
                self.sizes.append(len(batch))
                batch = flow.send(tuple(map(self._world.transport.send, batch)))
        except StopIteration as done:
            return done.value


@pytest.mark.parametrize(
    ("level", "nodes", "sizes"),
    [
        ("attested", 0, [2]),
        ("attested", 2, [3, 6, 2]),
        ("registry+pcr", 2, [3, 6, 1]),
        ("registry", 1, [2, 3, 1]),
        ("registry", 4, [5, 12, 1]),
    ],
)
def test_live_with_few_round_trips(level: str, nodes: int, sizes: list[int]) -> None:
    session = OpenGradientSession.build(nodes=nodes)
    enclave = None if nodes else session.url
    world = World(session, assurance=level, contract=nodes > 0, enclave=enclave)
    batches = Batches(world)
    verdict = batches.run()
    assert outcome_of(verdict) == "VERIFIED"
    assert f"Level {level}:" in verdict.trust_boundary
    assert batches.sizes == sizes
    assert {key.use for subject in verdict.subjects for key in subject.attested_keys} == {"signing", "ohttp"}


def test_attested_expires_with_the_certificate_and_the_word_of_nodes_after_minutes() -> None:
    seconds = {}
    for level in LEVELS:
        verdict = World(assurance=level).attest()
        assert verdict.expires_at is not None
        seconds[level] = (verdict.expires_at - verdict.evaluated_at).total_seconds()
    assert seconds == {"attested": 3 * 3600, "registry+pcr": 300, "registry": 300}


def test_attested_from_a_file() -> None:
    session = OpenGradientSession.build()
    assert outcome_of(saved_verdict(session)) == "VERIFIED"
    assert outcome_of(saved_verdict(session, nodes=False)) == "VERIFIED"
    verdict = saved_verdict(session, quorum=2)
    (subject,) = verdict.subjects
    entry = next(check for check in subject.checks if check.id == "registry.entry")
    assert (entry.status.value, entry.reason) == ("info", "recorded_word")
    assert any("may be the operator" in gap for gap in verdict.gaps)
    assert not any("may be the operator" in gap for gap in World(session).attest().gaps)
    alone = World(session, contract=False, enclave=session.url).attest()
    assert any("may be the operator" in gap for gap in alone.gaps)
    assert "Level attested:" in verdict.trust_boundary
    assert verdict.evaluated_at == session.at


@pytest.mark.parametrize("level", LEVELS[1:])
def test_recorded_words_of_nodes_prove_nothing(level: str) -> None:
    session = OpenGradientSession.build()
    found = findings(saved_verdict(session, level))
    assert found == {
        "registry.entry": ("unevaluated", "recorded_word"),
        "saved.recorded_at": ("unevaluated", "no_signed_time"),
    }


@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_pinned_id_stands_by_itself_for_the_signing_key_and_nothing_else(level: str) -> None:
    session = OpenGradientSession.build()
    pinned: dict[str, Any] = {"signing_keys": [session.tee_id.hex()]}
    assert findings(saved_verdict(session, level, **pinned)) == {"saved.recorded_at": ("unevaluated", "no_signed_time")}
    verdict = saved_verdict(session, level, **pinned, waive=["saved.recorded_at"])
    assert outcome_of(verdict) == "VERIFIED"
    assert "which anybody can write" in verdict.trust_boundary
    (subject,) = verdict.subjects
    assert [(key.use, key.address) for key in subject.attested_keys] == [("signing", session.tee_id.hex())]


@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_document_that_the_level_does_not_judge_lends_it_nothing(level: str) -> None:
    """A genuine document appended to a session of a lower level must not answer for its date or its keys."""
    session = OpenGradientSession.build()
    pinned: dict[str, Any] = {"signing_keys": [session.tee_id.hex()]}
    lower, whole = session.saved(level), session.saved("attested")
    places = {entry["request"]["url"] for entry in lower["exchanges"]}
    foreign = [entry for entry in whole["exchanges"] if entry["request"]["url"] not in places]
    assert foreign
    lower["exchanges"] += foreign
    verdict = verifier_of(session, assurance=level, **pinned).verify_saved(report_of(lower))
    assert outcome_of(verdict) == "INCONCLUSIVE"
    assert ("unevaluated", "unjudged_document") in findings(verdict).values()


def test_an_unsigned_key_counts_nowhere_without_a_contract_that_names_it() -> None:
    """A file with a genuine signing key, a record of the layout before OHTTP, and a key of whoever wrote the file."""
    session, thief = OpenGradientSession.build(), OpenGradientSession.build(boot="other")
    session.record.ohttp = None
    session.ohttp = thief.ohttp
    session.hpke_changes = dict.fromkeys(("signature", "tee_id", "signature_hash"), ...)
    options: dict[str, Any] = {"signing_keys": [session.tee_id.hex()], "waive": ["saved.recorded_at"]}
    for level in LEVELS:
        verdict = verifier_of(session, assurance=level, **options).verify_saved(report_of(session.saved()))
        reason = "unsigned" if level == "attested" else "unjudged_document"  # the lower levels judge no document
        assert ("unevaluated", reason) in findings(verdict).values()
        waived = {**options, "waive": [*options["waive"], "enclave.ohttp_key"]}
        verdict = verifier_of(session, assurance=level, **waived).verify_saved(report_of(session.saved()))
        assert not [key for one in verdict.subjects for key in one.attested_keys if key.use == "ohttp"]


def test_a_live_session_is_judged_alike_from_its_evidence() -> None:
    for level in LEVELS:
        world = World(assurance=level)
        live = world.attest()
        assert live.evidence is not None
        again = world.verifier.verify_saved(live.evidence)
        assert outcome_of(again) == ("VERIFIED" if level == "attested" else "INCONCLUSIVE")


@pytest.mark.parametrize("asked", LEVELS)
@pytest.mark.parametrize("recorded", LEVELS)
def test_a_level_is_never_reached_with_the_evidence_of_a_lower_one(asked: str, recorded: str) -> None:
    session = OpenGradientSession.build()
    document = session.saved(recorded)
    verdict = verifier_of(session, assurance=asked).verify_saved(report_of(document))
    assert (outcome_of(verdict) == "VERIFIED") == (asked == recorded == "attested")
    if asked == "attested" != recorded:
        assert set(findings(verdict).values()) == {("unevaluated", "no_document")}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("waived", WAIVABLE)
def test_no_waiver_raises_the_level(level: str, waived: str) -> None:
    session = OpenGradientSession.build()
    honest = World(session, assurance=level, waive=[waived]).attest()
    if waived != "nitro.pcrs" or level == "registry":  # else policy.pinned refuses the waiver
        assert outcome_of(honest) == "VERIFIED"
    _claims_no_more_than_checked(honest)
    session.enclave.pcrs[0] = b"\x77" * 48  # another image, which the contract does not know either
    session.record.pcr_hash = b"\x77" * 32
    other = World(session, policy=_policy(OpenGradientSession.build(), level, waived)).attest()
    if level != "registry":  # which asks for no image
        assert outcome_of(other) != "VERIFIED"
    _claims_no_more_than_checked(other)


def _policy(session: OpenGradientSession, level: str, waived: str) -> str:
    return opengradient_policy(session, assurance=level, waive=[waived])


def _claims_no_more_than_checked(verdict: Any) -> None:
    """What the words say must be held up by enforced passes."""
    (subject,) = verdict.subjects
    held = {check.id for check in subject.checks if check.enforced and check.status.value == "pass"}
    if "Level attested" in verdict.trust_boundary:
        needed = {"freshness.nonce_bound", "nitro.cose_signature", "nitro.cert_chain", "nitro.pcrs", "nitro.user_data"}
        assert needed | {"nitro.timestamp", "nitro.not_debug"} <= held
    if "Level registry+pcr" in verdict.trust_boundary:
        assert {"registry.entry", "policy.pinned"} <= held
    if "Level registry" in verdict.trust_boundary:
        assert {"registry.entry", "enclave.signing_key"} <= held


@pytest.mark.parametrize("waived", sorted(MANDATORY & {"enclave.signing_key", "enclave.assurance", "nitro.not_debug"}))
def test_what_carries_a_level_cannot_be_waived(waived: str) -> None:
    with pytest.raises(PolicyError):
        Policy.from_toml(opengradient_policy(OpenGradientSession.build(), waive=[waived]))


def test_levels_without_pins() -> None:
    session = OpenGradientSession.build()
    found = findings(World(session, assurance="attested", pcrs=False, signing_keys=[session.tee_id.hex()]).attest())
    assert found["enclave.assurance"] == ("fail", "image_not_pinned")
    assert found["policy.pinned"] == ("fail", "incomplete_pins")
    text = opengradient_policy(session, assurance="attested", pcrs=False)
    with pytest.raises(PolicyError, match="pins"):
        Policy.from_toml(text)
    with pytest.raises(PolicyError, match="pins"):
        Policy.from_toml(opengradient_policy(session, assurance="registry+pcr", pcrs=False))
    with pytest.raises(PolicyError, match="pins"):
        Policy.from_toml(opengradient_policy(session, assurance="registry").replace('"opengradient"', '"near"'))


def test_pins_that_a_contract_cannot_show_are_not_passed_over() -> None:
    session = OpenGradientSession.build()
    text = opengradient_policy(session, assurance="registry+pcr")
    wider = text.replace("pcrs = [{", f'pcrs = [{{pcr4 = "{session.enclave.pcrs[4].hex()}", ')
    assert findings(World(session, policy=wider).attest())["registry.entry"] == ("fail", "image_not_pinned")
    attested = wider.replace('"registry+pcr"', '"attested"')
    assert outcome_of(World(session, policy=attested).attest()) == "VERIFIED"
    idle = opengradient_policy(session, assurance="registry") + f'\n[pins.enclave]\nmr_seam = ["{"ab" * 48}"]\n'
    assert findings(World(session, policy=idle).attest())["enclave.assurance"] == ("fail", "unenforced_pin")


def test_the_enclave_that_was_asked_for_is_the_one_that_counts() -> None:
    session = OpenGradientSession.build()
    for options in ({"contract": False, "enclave": session.url}, {"enclave": session.url}):
        assert outcome_of(World(session, tee_id=session.tee_id, **options).attest()) == "VERIFIED"
        other = World(session, tee_id=b"\x07" * 32, **options).attest()
        assert outcome_of(other) == "REJECTED"
        assert findings(other)["enclave.signing_key"] == ("fail", "other_id")


def test_arguments_that_fit_nothing() -> None:
    session = OpenGradientSession.build()
    for options in ({"tee_id": b"short"}, {"enclave": "http://192.0.2.7"}, {"enclave": "https://192.0.2.7/path"}):
        with pytest.raises(ConfigurationError):
            World(session, **options)
    with pytest.raises(ConfigurationError, match="pins no contract"):
        verifier_of(session, contract=False, nodes=session.node_urls)
    with pytest.raises(ConfigurationError, match="nothing says"):
        World(session, contract=False).attest()


def test_nothing_is_sent_to_an_enclave_below_attested() -> None:
    for level in LEVELS[1:]:
        world = World(assurance=level)
        assert outcome_of(world.attest()) == "VERIFIED"
        assert {request.url for request in world.transport.asked} == set(world.session.node_urls)


def test_verdicts_of_other_nodes_or_levels_are_not_shared() -> None:
    from teeverify.cache import VerdictCache

    session = OpenGradientSession.build()
    keys = set()
    cache = VerdictCache(wall=lambda: session.at)
    for options in (
        {"nodes": session.node_urls},
        {"nodes": session.node_urls[:1]},
        {"nodes": session.node_urls[::-1]},
        {"nodes": session.node_urls, "tee_id": session.tee_id},
        {"nodes": session.node_urls, "enclave": session.url},
    ):
        transport = OpenGradientTransport(session)
        keys.add(verifier_of(session, cache=cache, transport=transport, quorum=1, **options).cache_key("gpt-4.1"))
    assert len(keys) == 5
