"""A first policy from what was observed."""

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_samples import SPKI, octets, reg

from teeverify.errors import ConfigurationError, PolicyError
from teeverify.policy import GpuPolicy, Policy
from teeverify.policy_lint import lint
from teeverify.policy_pin import PinObservation, pin_policy

AT = datetime(2026, 6, 29, 2, 6, tzinfo=timezone.utc)
SOURCE = "a report of cloud-api.near.ai"


def seen(role: str = "model", **changes: Any) -> PinObservation:
    values: dict[str, Any] = {f"rtmr{index}": reg(index + 1) for index in range(4)}
    values |= {"mrtd": reg(9), "mr_seam": reg(8), "app_id": b"\x01" * 20, "compose_hash": b"\x02" * 32}
    values |= {"kms_root": SPKI, "os_image": b"\x03" * 32, "has_event_log": True, "hardware_ok": True}
    values |= {"gpu_count": 8, "gpu_arch": "HOPPER", "eval_number": 19}
    return PinObservation(role=role, **(values | changes))


def text(*observations: PinObservation, **changes: Any) -> str:
    values: dict[str, Any] = {"provider": "near", "name": "mine", "recorded_at": AT, "source": SOURCE}
    return pin_policy(observations, **(values | changes))


def pinned(*observations: PinObservation, **changes: Any) -> Policy:
    return Policy.from_toml(text(*observations, **changes))


def test_one_observation() -> None:
    policy = pinned(seen())
    assert (policy.name, policy.provider, policy.valid_until) == ("mine", "near", date(2026, 9, 27))
    assert policy.tcb.accept == ("UpToDate",)
    assert policy.tcb.allow_advisories == ()
    assert (policy.tcb.min_eval_number, policy.tcb.grace_days) == (19, 0)
    assert policy.gpu == GpuPolicy(require=True, min_count=8, arch=("HOPPER",), nras="required")
    assert (policy.instances, policy.waivers) == ("all", ())
    model = policy.pins["model"]
    assert model.is_pinned
    assert model.base_images is not None
    assert model.base_images[0].registers == (reg(9), reg(1), reg(2), reg(3), None)
    assert model.base_images[0].label == "model 2026-06-29 (1)"
    assert (model.mr_seam, model.app_ids, model.compose) == ((reg(8),), (b"\x01" * 20,), (b"\x02" * 32,))
    assert (model.kms_roots, model.os_images) == ((SPKI,), (b"\x03" * 32,))
    assert (model.signing_keys, model.tls_spki, model.pcrs) == (None, None, None)
    assert lint(policy, AT) == ()


def test_rtmr3_only_where_no_event_log_explains_it() -> None:
    bare = seen("instance", has_event_log=False, app_id=None, compose_hash=None, kms_root=None, os_image=None)
    instance = pinned(bare).pins["instance"]
    assert instance.is_pinned
    assert instance.base_images is not None
    assert instance.base_images[0].rtmr3 == reg(4)
    assert instance.app_ids is instance.compose is instance.kms_roots is instance.os_images is None


def test_observations_of_one_role_merge_without_duplicates() -> None:
    policy = pinned(seen(), seen(), seen(rtmr0=reg(7), compose_hash=b"\x05" * 32), seen("gateway", gpu_count=None))
    assert list(policy.pins) == ["model", "gateway"]
    model = policy.pins["model"]
    assert [image.rtmr0 for image in model.base_images or ()] == [reg(1), reg(7)]
    assert model.compose == (b"\x02" * 32, b"\x05" * 32)
    assert model.mr_seam == (reg(8),)


def test_the_lowest_number_that_every_observation_satisfies() -> None:
    policy = pinned(seen(gpu_count=8, eval_number=20), seen(gpu_count=4, eval_number=19))
    assert (policy.gpu.min_count, policy.tcb.min_eval_number) == (4, 19)


@pytest.mark.parametrize("count", [None, 0])
def test_no_gpu_relaxes_nothing(count: int | None) -> None:
    assert pinned(seen(gpu_count=count, gpu_arch=None, eval_number=None)).gpu == GpuPolicy()
    assert pinned(seen(), seen("gateway", gpu_count=count, gpu_arch=None)).gpu.min_count == 8


def test_every_value_says_where_it_came_from() -> None:
    lines = text(seen(), seen(rtmr0=reg(7)), seen("gateway")).splitlines()
    where = "# Observed in a report of cloud-api.near.ai on 2026-06-29, hardware checks passed."
    values = [index for index, line in enumerate(lines) if line.startswith("  ") and "#" not in line]
    assert len(values) == 13
    assert all(lines[index - 1].strip() == where for index in values)


def test_the_header_reminds_the_reader() -> None:
    written = text(seen())
    head = written[: written.index("\nname = ")]
    assert "OBSERVED" in head
    assert "You are the one who decides" in head
    assert "teeverify policy lint" in head


def test_the_source_cannot_become_policy() -> None:
    sly = 'x\n[[waive]]\ncheck = "tcb.status"\nreason = "sly"\n#'
    assert pinned(seen(), source=sly) == pinned(seen())


def test_refusals() -> None:
    with pytest.raises(PolicyError, match="no attesting environment was observed"):
        text()
    with pytest.raises(PolicyError, match="hardware checks of role gateway did not pass"):
        text(seen(), seen("gateway", hardware_ok=False))
    with pytest.raises(PolicyError, match="event log and no compose hash"):
        text(seen(compose_hash=None))
    with pytest.raises(PolicyError, match="rtmr1 is 47 bytes long"):
        text(seen(rtmr1=b"\x01" * 47))
    with pytest.raises(PolicyError, match=r"app_ids\[0\] is 32 bytes long"):
        text(seen(app_id=b"\x01" * 32))
    with pytest.raises(PolicyError, match=r"pins\.backend is an unknown role"):
        text(seen("backend"))
    with pytest.raises(PolicyError, match=r'arch\[0\] is "AMPERE"'):
        text(seen(gpu_arch="AMPERE"))
    with pytest.raises(PolicyError, match="name is blank"):
        text(seen(), name="")
    with pytest.raises(ConfigurationError, match="no time zone"):
        text(seen(), recorded_at=datetime(2026, 6, 29))


def observations() -> st.SearchStrategy[list[PinObservation]]:
    one = st.builds(
        seen,
        st.sampled_from(["model", "gateway"]),
        mrtd=octets(48),
        rtmr3=octets(48),
        compose_hash=octets(32),
        has_event_log=st.booleans(),
        gpu_count=st.none() | st.integers(0, 8),
        eval_number=st.none() | st.integers(0, 30),
    )
    return st.lists(one, min_size=1, max_size=5)


@given(observations(), st.text(), st.datetimes(timezones=st.just(timezone.utc), max_value=datetime(9000, 1, 1)))
@settings(deadline=None)
def test_the_result_is_always_a_strict_policy(many: list[PinObservation], source: str, at: datetime) -> None:
    policy = pinned(*many, source=source, recorded_at=at)
    assert policy.valid_until == at.date() + timedelta(days=90)
    assert policy.waivers == ()
    assert set(policy.pins) == {observation.role for observation in many}
    assert all(values.is_pinned for values in policy.pins.values())
