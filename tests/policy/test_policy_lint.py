"""Advice on valid policies."""

from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from policy_samples import image, pins, policies, policy, reg

from teeverify.errors import ConfigurationError
from teeverify.policy import GpuPolicy, Policy, ReferenceValues, TcbPolicy, Waiver
from teeverify.policy_lint import lint

AT = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


def advice(made: Policy) -> str:
    (sentence,) = lint(made, AT)
    return sentence


def waived(**changes: Any) -> Policy:
    values: dict[str, Any] = {
        "check": "dstack.reported_info",
        "role": "model",
        "reason": "why",
        "expires": date(2026, 8, 1),
    } | changes
    return policy(waivers=(Waiver(**values),))


def tcb(**changes: Any) -> Policy:
    return policy(tcb=TcbPolicy(**({"min_eval_number": 19} | changes)))


def model(**changes: Any) -> Policy:
    return policy(pins={"model": pins(**changes)})


_IMAGE = {"pcr0": reg(1), "pcr1": reg(2), "pcr2": reg(3)}


def test_nothing_to_say() -> None:
    assert lint(policy(), AT) == ()
    assert lint(waived(), AT) == ()
    assert lint(policy(valid_until=AT.date()), AT) == ()
    assert lint(policy(pins={"enclave": ReferenceValues(pcrs=(_IMAGE,))}), AT) == ()
    assert lint(model(compose=None, base_images=(image(rtmr3=reg(3)),)), AT) == ()


@pytest.mark.parametrize(
    ("made", "start"),
    [
        (policy(valid_until=date(2026, 6, 30)), "valid_until is 2026-06-30, which is past"),
        (policy(valid_until=date(2027, 7, 3)), "valid_until is 2027-07-03, more than a year ahead"),
        (tcb(min_eval_number=0), "tcb.min_eval_number is 0"),
        (tcb(accept=("UpToDate", "OutOfDate")), "tcb.accept holds OutOfDate and tcb.allow_advisories is empty"),
        (
            tcb(accept=("OutOfDateConfigurationNeeded",), allow_advisories=("INTEL-SA-01036",)),
            "tcb.accept holds OutOfDateConfigurationNeeded and tcb.allow_advisories 1 known weaknesses",
        ),
        (policy(gpu=GpuPolicy(require=False)), "gpu.require is false"),
        (policy(gpu=GpuPolicy(nras="ignore")), 'gpu.nras is "ignore"'),
        (model(base_images=None), "pins.model has no base_images"),
        (model(compose=None), "pins.model names no workload"),
        (model(compose=None, app_ids=(b"\x01" * 20,)), "pins.model names no workload"),
        (model(base_images=(image(rtmr3=reg(0)),)), "pins.model.base_images holds an rtmr3 of zeros (image 1)"),
        (
            policy(pins={"enclave": ReferenceValues(pcrs=({"pcr0": reg(1), "pcr1": reg(2)},))}),
            "pins.enclave.pcrs has a table without pcr0, pcr1 or pcr2",
        ),
        (waived(expires=None), "waive[0] (dstack.reported_info) has no expires"),
        (waived(expires=date(2026, 6, 30)), "waive[0] (dstack.reported_info) ended on 2026-06-30"),
        (waived(role="gateway"), "waive[0] (dstack.reported_info) is for role gateway, which has no pins"),
        (waived(check="policy.pinned"), "waive[0] waives policy.pinned"),
    ],
)
def test_advice(made: Policy, start: str) -> None:
    assert advice(made).startswith(start)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        lint(policy(), datetime(2026, 7, 1))


@given(policies())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_policy_can_be_linted(made: Policy) -> None:
    assert all(sentence and "\n" not in sentence for sentence in lint(made, AT))


def test_a_policy_without_kms_roots_is_told_what_that_means() -> None:
    assert "has no kms_roots" in advice(model(kms_roots=None))


@pytest.mark.parametrize("check", ["pin.base_image", "pin.compose", "channel.tls_spki", "gpu.cert_chain"])
def test_waivers_that_open_a_door_are_named(check: str) -> None:
    assert f"waive[0] waives {check}, so " in advice(waived(check=check))
