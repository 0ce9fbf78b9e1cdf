"""Every attack that the protocol notes list, on simulated sessions: the outcome, and the check that refuses it.

The first instance of a session stays good, so a policy that takes any instance is satisfied by it, and by it alone.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any, Final

import pytest

from teeverify.errors import TransportError
from teeverify.flow import Response
from teeverify.testing import ChutesSession
from teeverify.testing.chutes_world import MODEL
from teeverify.testing.recording import body_of, drop_exchanges, edit_json, replace_body
from teeverify.verdict import AttestationVerdict, Outcome

from .synthetic import (
    ATTACKS,
    EVIDENCE,
    FAMILY,
    KEYS,
    MALFORMED,
    MODELS,
    OTHER,
    Change,
    Provider,
    build,
    failing,
    judge,
    judge_both,
    nras,
    policy,
    turn,
    verifier,
)

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE


def assert_first_only(verdict: AttestationVerdict, session: ChutesSession) -> None:
    """VERIFIED, and keys of the first instance only, which is the one that holds."""
    first = session.instances[0]
    assert verdict.require().verified
    keys = {subject.id: [key.public_key for key in subject.attested_keys] for subject in verdict.subjects}
    assert keys.pop(f"instance:{first.instance_id}") == [base64.b64decode(first.key).hex()]
    assert not any(keys.values())
    assert verdict.trust_boundary.startswith(f"TEST ROOTS, proves nothing about real hardware. 1 of {len(keys) + 1} ")


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_one_instance(name: str) -> None:
    change, expected = ATTACKS[name]
    session = build()
    first, second = session.instances
    change(second, first, session)
    strict, relaxed = judge_both(session.saved())
    assert strict.outcome is REJECTED
    assert expected <= failing(strict, second)
    assert failing(strict, first) == set()
    assert not any(subject.attested_keys for subject in strict.subjects)
    assert_first_only(relaxed, session)


def test_the_untouched_session() -> None:
    session = build()
    for verdict in judge_both(session.saved()):
        assert verdict.verified
        shown = {key.public_key for subject in verdict.subjects for key in subject.attested_keys}
        assert shown == {base64.b64decode(instance.key).hex() for instance in session.instances}
        assert "2 of 2 instances" in verdict.trust_boundary


# --- what touches both instances --------------------------------------------------------------------------------------


def _swap_ids(session: ChutesSession) -> None:
    first, second = session.instances
    first.evidence_id, second.evidence_id = second.instance_id, first.instance_id


SHARE: Final = ("binding.distinct_instances", "shared")
SHARED: Final[dict[str, Any]] = {
    "21 ids swapped": (_swap_ids, ("binding.report_data", "other_bytes")),
    "22 two bodies for an id": (
        lambda s: setattr(s.instances[1], "evidence_id", s.instances[0].instance_id),
        SHARE,
    ),
    "23 one key": (lambda s: setattr(s.instances[1], "key", s.instances[0].key), SHARE),
    "23 one key, one of them unbound": (
        lambda s: setattr(s.instances[1], "shown_key", s.instances[0].key),
        SHARE,
    ),
    "33 one GPU": (lambda s: setattr(s.instances[1], "gpus", s.instances[0].gpus), SHARE),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("mode", ["all", "any"])
def test_what_two_instances_share_spoils_both(name: str, mode: str) -> None:
    change, expected = SHARED[name]
    session = build()
    change(session)
    verdict = judge(session.saved(), mode=mode)
    assert verdict.outcome is REJECTED
    assert expected in failing(verdict, session.instances[0])
    assert not any(subject.attested_keys for subject in verdict.subjects)


def test_a_copied_entry_is_refused() -> None:
    session = build()
    session.instances[1].evidence_entries = 2
    name = session.instances[1].instance_id
    strict = judge(session.saved())
    assert strict.outcome is REJECTED
    both = [subject.id for subject in strict.subjects if name in subject.id]
    assert len(both) == 2
    assert all(SHARE in failing(strict, one) for one in both)
    assert MALFORMED in failing(strict, both[1])
    assert_first_only(judge(session.saved(), mode="any"), session)


def test_gpus_of_a_multi_gpu_host() -> None:
    for spoil, check in (
        (lambda own: own.gpus.pop(), ("gpu.present", "too_few")),
        (lambda own: setattr(own, "gpus", own.gpus[:1] * 2), ("gpu.distinct_devices", "device_repeated")),
        (lambda own: own.gpu_evidence.update({1: own.gpus[1].evidence(OTHER)}), ("gpu.nonce_bound", "nonce_mismatch")),
    ):
        session = build(gpus=2)
        spoil(session.instances[1])
        verdict = judge(session.saved(), gpus=2)
        assert (verdict.outcome, check in failing(verdict, session.instances[1])) == (REJECTED, True)


# --- collateral of several platform families --------------------------------------------------------------------------


def test_collateral_is_per_family() -> None:
    session = build()
    missing = drop_exchanges(session.saved(), f"fmspc={FAMILY}")
    verdict = judge(missing)
    assert verdict.outcome is INCONCLUSIVE
    assert ("tcb.collateral_current", "not_recorded") in failing(verdict, session.instances[1])
    assert_first_only(judge(missing, mode="any"), session)
    document = session.saved()
    wrong = replace_body(document, f"fmspc={FAMILY}", body_of(document, "fmspc=90c06f000000"))
    verdict = judge(wrong)
    assert verdict.outcome is REJECTED
    assert any(check.startswith("tcb.") for check, _ in failing(verdict, session.instances[1]))
    assert_first_only(judge(wrong, mode="any"), session)


def test_old_collateral_verifies_nobody() -> None:
    session = build()
    session.pcs.issued -= timedelta(days=45)
    for verdict in judge_both(session.saved()):
        assert verdict.outcome is REJECTED
        assert "tcb.collateral_current" in {check for check, _ in failing(verdict, session.instances[0])}


def test_the_end_is_that_of_the_instances_relied_on() -> None:
    session = build()
    both = judge(session.saved()).expires_at
    session.instances[0].key_entries = 0
    only = judge(session.saved(), mode="any").expires_at
    assert both is not None
    assert only is not None
    assert (only - both).total_seconds() == 1, "the second instance's token was made a second later"


# --- NVIDIA's opinion, for each instance ------------------------------------------------------------------------------

UNSAID: Final = {"required": INCONCLUSIVE, "when_present": VERIFIED, "ignore": VERIFIED}
NRAS: Final[dict[str, tuple[Change, dict[str, Outcome]]]] = {
    "good": (turn(), {"required": VERIFIED, "when_present": VERIFIED, "ignore": VERIFIED}),
    "missing": (turn(nras_recorded=False), UNSAID),
    "for another nonce": (turn(nras_nonce=OTHER), UNSAID),
    "false": (
        nras(overall_changes={"x-nvidia-overall-att-result": False}),
        {"required": REJECTED, "when_present": REJECTED, "ignore": VERIFIED},
    ),
    "of another instance": (
        turn(nras_bundle=lambda _o, first, _s: first.nras.bundle(first.gpus, first.binding)),
        UNSAID,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", ["required", "when_present", "ignore"])
@pytest.mark.parametrize("name", NRAS)
def test_nvidias_opinion(name: str, rule: str) -> None:
    change, expected = NRAS[name]
    session = build()
    first, second = session.instances
    change(second, first, session)
    verdict = judge(session.saved(), nras=rule)
    assert verdict.outcome is expected[rule]
    assert failing(verdict, first) == set()
    if verdict.outcome is not VERIFIED:
        assert {check for check, _ in failing(verdict, second)} <= {"gpu.nras_token", "gpu.nras_result"}


# --- behind a gateway, and which chute it is --------------------------------------------------------------------------


def test_an_honest_gateway_and_two_that_are_not() -> None:
    nonce = bytes(range(32))
    honest = build(gateway=True, nonce=nonce, inner_nonce=nonce)
    assert judge(honest.saved()).require().verified
    own = build(gateway=True, nonce=nonce)  # RedPill: a nonce of its own everywhere
    stamped = build(gateway=True, nonce=nonce)  # NanoGPT: our nonce on the envelope, its own in the quotes
    stamped.envelope_nonce = nonce
    claimed = build(gateway=True, nonce=nonce)
    claimed.envelope_nonce = nonce
    for instance in claimed.instances:
        instance.shown_nonce = nonce
    for session in (own, stamped, claimed):
        for mode in ("all", "any"):
            verdict = judge(session.saved(), mode=mode)
            assert verdict.outcome is REJECTED
            for instance in session.instances:
                assert ("freshness.nonce_bound", "nonce_mismatch") in failing(verdict, instance)
    assert ("binding.report_data", "other_bytes") in failing(judge(claimed.saved()), claimed.instances[0])


def test_what_a_gateway_says_beside_the_evidence_is_held_against_it_only() -> None:
    nonce = bytes(range(32))
    session = build(gateway=True, nonce=nonce, inner_nonce=nonce)
    session.envelope_nonce = OTHER
    assert ("freshness.nonce_bound", "echo_mismatch") in failing(judge(session.saved()), session.instances[0])
    session = build(gateway=True, nonce=nonce, inner_nonce=nonce)
    session.instances[1].guest.quote_changes["signature"] = bytes(range(64))
    praise = {"verified": True, "tdx_verification": {"status": "UpToDate"}, "gpu_tokens": {"overall": True}}
    document = edit_json(
        session.saved(), "attestation/report", lambda d: [e.update(praise) for e in d["all_attestations"]] and d
    )
    assert judge(document).outcome is REJECTED
    assert_first_only(judge(document, mode="any"), session)


MODEL_LISTS: Final[dict[str, Any]] = {
    "another chute": lambda rows, row: row.update(chute_id=rows[0]["chute_id"]),
    "two chutes": lambda rows, row: rows.append({**row, "chute_id": rows[0]["chute_id"]}),
    "not there": lambda rows, row: rows.remove(row),
    "part of a name": lambda rows, row: row.update(id=MODEL + "-2"),
    "other case": lambda rows, row: row.update(id=MODEL.upper()),
    "no chute id": lambda rows, row: row.update(chute_id=None),
    "a path": lambda rows, row: row.update(chute_id="../" + row["chute_id"]),
}


@pytest.mark.parametrize("name", MODEL_LISTS)
def test_a_list_of_models_that_does_not_name_one_chute(name: str) -> None:
    def edit(document: Any) -> None:
        MODEL_LISTS[name](document["data"], document["data"][1])

    document = edit_json(build().saved(), MODELS, edit)
    verdict = judge(document, mode="any")
    assert verdict.outcome is REJECTED
    assert {reason for _, reason in failing(verdict, verdict.subjects[0].id)} >= {"other_model"}
    provider = Provider()
    provider.answers[MODELS] = Response(status=200, headers={}, body=body_of(document, MODELS))
    live = verifier(policy(), transport=provider).verify_attestation(MODEL)
    assert live.outcome is INCONCLUSIVE
    if name == "another chute":  # it is asked, and nobody answers for it here
        return
    assert [request.url for request in provider.asked] == ["https://llm.chutes.ai/v1/models"]
    assert {check.reason for check in live.subjects[0].checks} & {"model_unknown", "model_ambiguous"}


# --- live -------------------------------------------------------------------------------------------------------------


def test_the_key_goes_to_chutes_only_and_is_not_saved() -> None:
    provider = Provider()
    verdict = verifier(policy(), transport=provider, api_key="cpk_secret").verify_attestation(MODEL)
    assert verdict.require().verified
    assert verdict.evidence is not None
    told = {request.url.split("/")[2] for request in provider.asked if "cpk_secret" in str(request.headers)}
    assert told == {"llm.chutes.ai", "api.chutes.ai"}
    assert b"cpk_secret" not in verdict.evidence.to_bytes()
    assert not any("cpk_secret" in f"{request.url}{request.body!r}" for request in provider.asked)


@pytest.mark.parametrize("part", [MODELS, KEYS, EVIDENCE, "/tcb?", "/qe/identity", "pckcrl", "IntelSGXRootCA", "nras."])
@pytest.mark.parametrize("answer", [TransportError("down"), Response(status=503, headers={}, body=b"{}")])
def test_an_outage_is_inconclusive(part: str, answer: Response | TransportError) -> None:
    for mode in ("all", "any"):
        provider = Provider()
        provider.answers[part] = answer
        verdict = verifier(policy(mode=mode), transport=provider).verify_attestation(MODEL)
        assert verdict.outcome is INCONCLUSIVE
        assert not any(subject.attested_keys for subject in verdict.subjects)
