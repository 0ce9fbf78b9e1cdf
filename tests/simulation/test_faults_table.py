"""The table of faults is complete, and says truly what a deployment can show."""

from __future__ import annotations

import pytest

from teeverify.errors import ConfigurationError
from teeverify.testing import SimulatedTee
from teeverify.testing.defects import DEFECTS
from teeverify.testing.simulation import FAULTS
from teeverify.testing.simulation.faults.transport import TRICKS

ASKED_FOR = (
    "replayed-nonce",
    "swapped-key",
    "other-tls-key",
    "forged-event",
    "old-tcb",
    "other-image",
    "debug-td",
    "revoked-pck",
    "bad-gpu",
    "nras-refuses",
    "other-model",
    "downgraded-form",
    "no-compose-manager",
    "clock-ahead",
    "clock-behind",
)


def test_every_defect_is_a_fault() -> None:
    assert set(DEFECTS) <= set(FAULTS)
    for name, entry in DEFECTS.items():
        fault = FAULTS[name]
        assert (fault.outcomes, fault.checks, fault.description) == (entry.outcomes, entry.checks, entry.description)


def test_only_what_cannot_be_shown_live_is_left_out() -> None:
    left_out = {name for name, fault in FAULTS.items() if fault.excluded is not None}
    recorded = {
        "nonce-chosen-by-server",
        "peer-spki-missing",
        "gateway-peer-spki-missing",
        "recorded-too-early",
        "recorded-too-late",
    }
    assert left_out == recorded | {name for name, entry in DEFECTS.items() if entry.policy}


@pytest.mark.parametrize("cloud", [True, False])
def test_what_a_deployment_can_show(cloud: bool) -> None:
    names = set(SimulatedTee.near(cloud=cloud, gpus=8, backends=2).faults)
    assert set(ASKED_FOR) <= names
    assert {f"{group}-{trick}" for group in ("provider", "intel", "nvidia") for trick in TRICKS} <= names
    shape = "cloud" if cloud else "direct"
    fitting = {name for name, fault in FAULTS.items() if fault.base in (None, shape) and fault.excluded is None}
    assert names == fitting
    small = set(SimulatedTee.near(cloud=cloud, gpus=1).faults)
    assert {FAULTS[name].gpus > 1 or FAULTS[name].backends > 1 for name in names - small} == {True}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-fault", "no fault is called"),
        ("gateway-missing", "cloud shape"),
        ("peer-spki-missing", "always shows its key"),
        ("policy-ran-out", "policy of its own"),
        ("gpu-same-twice", "needs 2 GPUs"),
        ("bad-backend", "needs 2 backends"),
    ],
)
def test_a_fault_that_does_not_fit_is_told_at_once(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        SimulatedTee.near(cloud=False, gpus=1, fault=name)


def test_a_fault_that_does_not_fit_changes_nothing() -> None:
    tee = SimulatedTee.near(cloud=False, gpus=1)
    with pytest.raises(ConfigurationError, match="not started"):
        tee.set_fault("debug-td")
    assert tee.fault is None


def test_descriptions_are_one_line_and_expectations_are_stated() -> None:
    for fault in FAULTS.values():
        assert fault.description.endswith(".")
        assert "\n" not in fault.description
        assert fault.outcomes
        assert fault.checks or fault.outcomes == ("VERIFIED",)
