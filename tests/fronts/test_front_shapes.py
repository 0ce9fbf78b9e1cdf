"""Which shape a report has is not the server's choice: every other shape than the pinned one is refused."""

from __future__ import annotations

import itertools
from typing import Any, Final

import pytest

from teeverify.errors import ConfigurationError
from teeverify.policy import Policy
from teeverify.testing import FrontSession, front_policy
from teeverify.verdict import AttestationVerdict, Outcome, Status

from .world import deciding, judge, policy

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

SHAPES: Final = ("dstack", "near", "chutes")
DIRECTIONS: Final = [(one, other) for one, other in itertools.product(SHAPES, SHAPES) if one != other]


def shape_results(verdict: AttestationVerdict) -> set[tuple[Status, str]]:
    return {(c.status, c.reason) for subject in verdict.subjects for c in subject.checks if c.id == "policy.shape"}


@pytest.mark.parametrize("provider", ["phala", "nanogpt"])
@pytest.mark.parametrize(("pinned", "shown"), DIRECTIONS)
def test_another_shape_than_the_pinned_one(provider: str, pinned: str, shown: str) -> None:
    verdict = judge(FrontSession.build(provider, shown).saved(), policy(provider, pinned))
    assert verdict.outcome is Outcome.REJECTED
    assert "policy.shape" in deciding(verdict)
    assert shape_results(verdict) == {(Status.FAIL, "other_shape")}


def test_the_pinned_machine_without_its_gateway() -> None:
    """It is the very machine that the policy pins; only the shape stands against it."""
    text = front_policy(FrontSession.build("phala", "near"))
    manager = text.index("[pins.compose_manager]")
    verdict = judge(FrontSession.build("phala", "dstack").saved(), Policy.from_toml(text[:manager]))
    assert (verdict.outcome, deciding(verdict)) == (Outcome.REJECTED, {"policy.shape"})


def test_venice_falls_back_to_nothing() -> None:
    for shown in ("near", "chutes"):
        verdict = judge(FrontSession.build("venice", shown).saved(), policy("venice"))
        assert verdict.outcome is Outcome.REJECTED
        assert "policy.shape" in deciding(verdict)


def _joined(*shapes: str) -> Policy:
    """A policy that pins the roles of several shapes."""
    first, *others = (front_policy(FrontSession.build("phala", shape)) for shape in shapes)
    pins = "".join(text[text.index("[pins.") :] for text in others)
    return Policy.from_toml(f"{first}\n{pins}")


def test_a_policy_may_be_for_several_shapes() -> None:
    both = _joined("dstack", "chutes")
    for shown in ("dstack", "chutes"):
        assert judge(FrontSession.build("phala", shown).saved(), both).verified
    assert judge(FrontSession.build("phala", "near").saved(), both).outcome is Outcome.REJECTED


def test_a_smaller_shape_is_no_way_around_a_larger_one() -> None:
    rules = _joined("near", "chutes")
    assert judge(FrontSession.build("phala", "near").saved(), rules).verified
    assert judge(FrontSession.build("phala", "chutes").saved(), rules).verified
    verdict = judge(FrontSession.build("phala", "dstack").saved(), rules)
    assert (verdict.outcome, deciding(verdict)) == (Outcome.REJECTED, {"policy.shape", "evidence.complete"})


def test_no_policy_waives_it() -> None:
    text = front_policy(FrontSession.build("phala"))
    with pytest.raises(ConfigurationError, match=r"policy\.shape"):
        Policy.from_toml(f'{text}\n[[waive]]\ncheck = "policy.shape"\nreason = "x"\nexpires = 2030-01-01\n')


ELSEWHERE: Final[dict[str, Any]] = {
    "tinfoil": {"format": "https://tinfoil.sh/predicate/tdx-guest/v2", "body": ""},
    "aci": {"api_version": "aci/1"},
    "aci inside": {"attestation": {"workload_keyset": {}}},
}


@pytest.mark.parametrize("members", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_is_judged_elsewhere(members: dict[str, Any], shape: str) -> None:
    session = FrontSession.build("phala", "dstack")
    for report in (members, {**session.report(), **members}):
        verdict = judge(session.saved(report), policy("phala", shape))
        assert verdict.outcome is (Outcome.INCONCLUSIVE if "format" in members else Outcome.REJECTED)
        assert not any(subject.attested_keys for subject in verdict.subjects)


@pytest.mark.parametrize("report", [{}, {"error": "no"}, {"intel_quot": "00"}, {"verified": True, "nonce": "ab" * 32}])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_report_without_evidence(report: dict[str, Any], shape: str) -> None:
    verdict = judge(FrontSession.build("phala").saved(report), policy("phala", shape))
    assert verdict.outcome is Outcome.REJECTED
    assert "evidence.complete" in deciding(verdict)


CONFUSED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "a machine that says it is Chutes": ("dstack", {"attestation_type": "chutes"}),
    "a machine with an empty list of models": ("dstack", {"model_attestations": []}),
    "a machine with a gateway that is none": ("dstack", {"gateway_attestation": None}),
    "a gateway without models": ("near", {"model_attestations": []}),
    "a gateway with too many": ("near", {"model_attestations": [{}] * 1000}),
    "a gateway with models of another type": ("near", {"model_attestations": {"0": {}}}),
    "models without gateway": ("near", {"gateway_attestation": {}}),
    "Chutes without instances": ("chutes", {"all_attestations": []}),
    "Chutes under another name": ("chutes", {"attestation_type": "Chutes"}),
    "Chutes with one that is no object": ("chutes", {"all_attestations": ["x"]}),
}


@pytest.mark.parametrize("name", CONFUSED)
def test_members_of_one_shape_inside_another(name: str) -> None:
    shape, members = CONFUSED[name]
    session = FrontSession.build("phala", shape)
    for pinned in SHAPES:
        verdict = judge(session.saved({**session.report(), **members}), policy("phala", pinned))
        assert verdict.outcome is Outcome.REJECTED
    assert judge(session.saved(), policy("phala", shape)).verified


def test_what_the_larger_shape_leaves_over_is_not_read() -> None:
    """A front may add members of a smaller shape; the roles that are pinned are judged all the same."""
    near = FrontSession.build("phala", "near")
    other = FrontSession.build("phala", "dstack", seed="another world")
    assert judge(near.saved({**other.report(), **near.report()}), policy("phala", "near")).verified


@pytest.mark.parametrize("shape", ["near", "chutes"])
@pytest.mark.parametrize("tls_bound", [False, True])
def test_a_proxy_of_ones_own_is_one_machine(shape: str, tls_bound: bool) -> None:
    """Else a TLS-bound question could be answered by a shape that binds no connection."""
    session = FrontSession.build("vllm-proxy", shape, tls_bound=tls_bound)
    for rules in (Policy.from_toml(front_policy(session)), policy("vllm-proxy", tls_bound=tls_bound)):
        verdict = judge(session.saved(), rules)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "evidence.complete" not in deciding(verdict) or verdict.attested_tls_spki is None
