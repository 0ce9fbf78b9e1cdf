"""Policies built in Python: each rule of the constructors, and what the values say."""

import copy
import pickle
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from policy_samples import SPKI, WAIVABLE, image, pins, policy, reg

from teeverify.check_ids import MANDATORY
from teeverify.errors import ConfigurationError, PolicyError
from teeverify.policy import GpuPolicy, Policy, ReferenceValues, TcbPolicy, Waiver

NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


def refused(build: Callable[..., Any], **values: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        build(**values)
    message = str(caught.value)
    assert "expected" in message or "accepted" in message
    assert "\n" not in message
    return message


def waiver(**values: Any) -> Waiver:
    return Waiver(**({"check": "channel.tls_spki", "reason": "not recorded"} | values))


PIN_SIZES = {
    "mr_seam": (48,),
    "app_ids": (20,),
    "compose": (32,),
    "os_images": (32,),
    "signing_keys": (20, 32, 64),
    "tls_spki": (32,),
}


@pytest.mark.parametrize("name", PIN_SIZES)
@pytest.mark.parametrize("size", [0, 16, 19, 20, 21, 31, 32, 33, 47, 48, 49, 63, 64, 65])
def test_pin_lengths(name: str, size: int) -> None:
    value: Any = (b"\x01" * size,)
    if size in PIN_SIZES[name]:
        assert getattr(ReferenceValues(**{name: value}), name) == value
    else:
        assert refused(ReferenceValues, **{name: value}).startswith(f"{name}[0] is {size} bytes long, ")


@pytest.mark.parametrize("name", [*PIN_SIZES, "kms_roots", "base_images", "pcrs", "custody_roots"])
def test_pin_lists(name: str) -> None:
    assert refused(ReferenceValues, **{name: ()}).startswith(f"{name} is an empty list")
    assert refused(ReferenceValues, **{name: [b"\x01" * 32]}).startswith(f"{name} is a list")
    assert refused(ReferenceValues, **{name: ("01" * 32,)}).startswith(f"{name}[0] is a string")
    assert refused(ReferenceValues, **{name: (bytearray(32),)}).startswith(f"{name}[0] is of type bytearray")
    assert getattr(ReferenceValues(), name) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mr_seam", reg(1)),
        ("kms_roots", SPKI),
        ("base_images", image()),
        ("pcrs", {"pcr0": reg(1)}),
    ],
)
def test_duplicate_pins(name: str, value: object) -> None:
    assert refused(ReferenceValues, **{name: (value, copy.copy(value))}).startswith(f"{name}[1] repeats {name}[0]")


def test_a_label_does_not_make_another_image() -> None:
    assert "base_images[1] repeats" in refused(ReferenceValues, base_images=(image(), image(label="other")))
    assert ReferenceValues(base_images=(image(), image(rtmr3=reg(9)))).base_images is not None


@pytest.mark.parametrize(
    "root",
    [
        SPKI[:-1],
        SPKI + b"\x00",
        b"\x31" + SPKI[1:],
        b"\x30\x05" + b"\x01" * 5,
        b"\x30\x80" + b"\x01" * 80,
        b"\x30\x81\x59" + b"\x01" * 0x59,
        b"\x30\x82\x00\x90" + b"\x01" * 0x90,
        b"\x30\x83\x00\x01\x00" + b"\x01" * 256,
        b"\x30\x82\x02\x59" + b"\x01" * 0x259,
        b"\x30\xff" + b"\x01" * 80,
    ],
)
def test_kms_root_is_no_public_key(root: bytes) -> None:
    assert refused(ReferenceValues, kms_roots=(root,)).startswith("kms_roots[0] ")


def test_kms_root_of_a_long_key() -> None:
    roots = (b"\x30\x82\x02\x22" + b"\x01" * 0x222, b"\x30\x81\x90" + b"\x01" * 0x90)
    assert ReferenceValues(kms_roots=roots).kms_roots == roots


@pytest.mark.parametrize("name", ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"])
def test_register_length(name: str) -> None:
    assert refused(image, **{name: b"\x01" * 47}).startswith(f"{name} is 47 bytes long, 48 bytes (96 hex digits) were")
    assert refused(image, **{name: "01" * 48}).startswith(f"{name} is a string")


@pytest.mark.parametrize("name", ["mrtd", "rtmr0", "rtmr1", "rtmr2"])
def test_register_missing(name: str) -> None:
    assert refused(image, **{name: None}).startswith(f"{name} is missing")


@pytest.mark.parametrize(
    ("table", "start"),
    [
        ({}, "pcrs[0] is an empty table"),
        ({"pcr32": reg(1)}, "pcrs[0].pcr32 is an unknown key"),
        ({"PCR0": reg(1)}, "pcrs[0].PCR0 is an unknown key"),
        ({"pcr01": reg(1)}, "pcrs[0].pcr01 is an unknown key"),
        ({"pcr0": b""}, "pcrs[0].pcr0 is 0 bytes long"),
        ({0: reg(1)}, "pcrs[0].an integer is an unknown key"),
    ],
)
def test_pcr_tables(table: object, start: str) -> None:
    assert refused(ReferenceValues, pcrs=(table,)).startswith(start)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"accept": ()}, "accept is an empty list"),
        ({"accept": "UpToDate"}, "accept is a string"),
        ({"accept": ("Revoked",)}, 'accept[0] is "Revoked"'),
        ({"accept": ("uptodate",)}, 'accept[0] is "uptodate"'),
        ({"accept": (1,)}, "accept[0] is an integer"),
        ({"accept": ("UpToDate", "UpToDate")}, "accept[1] repeats accept[0]"),
        ({"allow_advisories": ("INTEL-SA-123",)}, 'allow_advisories[0] is "INTEL-SA-123"'),
        ({"allow_advisories": ("INTEL-SA-012345",)}, "allow_advisories[0] is"),
        ({"allow_advisories": ("INTEL-SA-01036\n",)}, "allow_advisories[0] is"),
        ({"allow_advisories": ("INTEL-SA-٠١٠٣٦",)}, "allow_advisories[0] is"),
        ({"allow_advisories": (None,)}, "allow_advisories[0] is missing"),
        ({"allow_advisories": ("INTEL-SA-01036",) * 2}, "allow_advisories[1] repeats"),
        ({"min_eval_number": -1}, "min_eval_number is -1"),
        ({"min_eval_number": True}, "min_eval_number is a boolean"),
        ({"min_eval_number": 19.0}, "min_eval_number is a float"),
        ({"min_eval_number": "19"}, "min_eval_number is a string"),
        ({"min_eval_number": 10**5000}, "min_eval_number is a number of more than 12 digits"),
        ({"grace_days": -1}, "grace_days is -1"),
        ({"grace_days": 366}, "grace_days is 366"),
        ({"grace_days": False}, "grace_days is a boolean"),
    ],
)
def test_tcb_refusals(values: dict[str, Any], start: str) -> None:
    assert refused(TcbPolicy, **values).startswith(start)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"require": 1}, "require is an integer"),
        ({"require": "true"}, "require is a string"),
        ({"min_count": 0}, "min_count is 0"),
        ({"min_count": 33}, "min_count is 33"),
        ({"min_count": True}, "min_count is a boolean"),
        ({"arch": ()}, "arch is an empty list"),
        ({"arch": ("AMPERE",)}, 'arch[0] is "AMPERE"'),
        ({"arch": ("HOPPER", "HOPPER")}, "arch[1] repeats"),
        ({"nras": "never"}, 'nras is "never"'),
        ({"nras": None}, "nras is missing"),
    ],
)
def test_gpu_refusals(values: dict[str, Any], start: str) -> None:
    assert refused(GpuPolicy, **values).startswith(start)


@pytest.mark.parametrize("check", sorted(MANDATORY))
def test_mandatory_checks_cannot_be_waived(check: str) -> None:
    assert refused(waiver, check=check).startswith(f"check is {check}, which is mandatory")


@pytest.mark.parametrize("check", WAIVABLE)
def test_other_checks_can_be_waived(check: str) -> None:
    assert waiver(check=check).check == check


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"check": "channel.tls"}, 'check is "channel.tls", which no check has'),
        ({"check": 7}, "check is an integer"),
        ({"reason": ""}, "reason is blank"),
        ({"reason": " \t "}, "reason is blank"),
        ({"reason": None}, "reason is missing"),
        ({"reason": "a\nb"}, "reason holds a character that cannot be printed"),
        ({"reason": "\x1b[31m"}, "reason holds a character that cannot be printed"),
        ({"reason": "x" * 1001}, "reason is 1001 characters long"),
        ({"role": "backend"}, 'role is "backend"'),
        ({"role": ""}, 'role is ""'),
        ({"expires": "2026-12-31"}, "expires is a string"),
        ({"expires": NOON}, "expires is a date with a time"),
    ],
)
def test_waiver_refusals(values: dict[str, Any], start: str) -> None:
    assert refused(waiver, **values).startswith(start)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"name": ""}, "name is blank"),
        ({"name": 3}, "name is an integer"),
        ({"name": "n" * 201}, "name is 201 characters long"),
        ({"provider": "Near"}, 'provider is "Near"'),
        ({"provider": None}, "provider is missing"),
        ({"valid_until": None}, "valid_until is missing"),
        ({"valid_until": NOON}, "valid_until is a date with a time"),
        ({"instances": "some"}, 'instances.mode is "some"'),
        ({"tcb": {}}, "tcb is a table"),
        ({"gpu": None}, "gpu is missing"),
        ({"pins": {}}, "pins is empty"),
        ({"pins": None}, "pins is missing"),
        ({"pins": {"backend": pins()}}, "pins.backend is an unknown role"),
        ({"pins": {"a b\n": pins()}}, 'pins."a b\\n" is an unknown role'),
        ({"pins": {1: pins()}}, "pins.an integer is an unknown role"),
        ({"pins": {"model": None}}, "pins.model is missing"),
        ({"pins": {"model": ReferenceValues()}}, "pins.model pins nothing"),
        ({"waivers": [waiver()]}, "waive is a list"),
        ({"waivers": ("x",)}, "waive[0] is a string"),
        ({"waivers": (waiver(), waiver(reason="other"))}, "waive[1] repeats waive[0]"),
    ],
)
def test_policy_refusals(values: dict[str, Any], start: str) -> None:
    assert refused(policy, **values).startswith(start)


def test_a_policy_without_pins_says_how_to_get_them() -> None:
    assert "`teeverify policy pin`" in refused(policy, pins={})


def test_switching_attrs_validators_off_changes_nothing() -> None:
    attrs.validators.set_disabled(True)
    try:
        assert refused(policy, pins={}).startswith("pins is empty")
        assert refused(TcbPolicy, accept=("Revoked",))
    finally:
        attrs.validators.set_disabled(False)


def test_strict_defaults() -> None:
    made = Policy(name="n", provider="near", valid_until=date(2026, 1, 1), pins={"model": pins()})
    assert made.tcb == TcbPolicy(accept=("UpToDate",), allow_advisories=(), min_eval_number=0, grace_days=0)
    assert made.gpu == GpuPolicy(require=True, min_count=1, arch=("HOPPER",), nras="required")
    assert (made.instances, made.waivers) == ("all", ())


def test_nothing_can_be_changed_afterwards() -> None:
    table = {"pcr0": reg(1)}
    roles = {"enclave": pins(pcrs=(table,))}
    made = policy(pins=roles)
    table["pcr0"] = reg(2)
    roles["model"] = pins()
    assert list(made.pins) == ["enclave"]
    assert made.pins["enclave"].pcrs == ({"pcr0": reg(1)},)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.pins["model"] = pins()  # type: ignore[index]


def test_policies_are_plain_values() -> None:
    made = policy(pins={"enclave": pins(pcrs=({"pcr0": reg(1)},))}, waivers=(waiver(),))
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), attrs.evolve(made)):
        assert other == made
        assert other.digest == made.digest
        assert hash(other) == hash(made)
    assert attrs.evolve(made, name="other").digest != made.digest
    assert repr(made) == f"<Policy 'sample' near valid_until=2026-12-31 digest={made.digest[:12]}>"


def test_what_counts_as_pinned() -> None:
    logless = image(rtmr3=reg(3))
    assert pins().is_pinned
    assert pins(compose=None, base_images=(logless,)).is_pinned
    assert not pins(compose=None).is_pinned
    assert pins(base_images=(logless,)).pins_rtmr3
    assert not pins().pins_rtmr3
    assert not pins(base_images=(logless, image(2))).pins_rtmr3
    assert not ReferenceValues().pins_rtmr3
    assert not pins(base_images=None).is_pinned
    assert not pins(compose=None, base_images=(logless, image(2))).is_pinned
    assert not pins(compose=None, app_ids=(b"\x01" * 20,), kms_roots=(SPKI,), os_images=(b"\x01" * 32,)).is_pinned
    assert not ReferenceValues(pcrs=({"pcr0": reg(1)},)).is_pinned
    assert ReferenceValues().is_empty
    assert not ReferenceValues().is_pinned


def test_what_counts_as_a_pinned_enclave() -> None:
    whole = {"pcr0": reg(1), "pcr1": reg(2), "pcr2": reg(3)}
    assert ReferenceValues(pcrs=(whole, {**whole, "pcr8": reg(3)})).is_enclave_pinned
    for missing in whole:
        partial = {name: value for name, value in whole.items() if name != missing}
        assert not ReferenceValues(pcrs=(whole, partial)).is_enclave_pinned
    assert not pins().is_enclave_pinned


def test_pins_for() -> None:
    made = policy()
    assert made.pins_for("model") == pins()
    assert made.pins_for("gateway") is None


def test_waiver_in_force_until_the_end_of_its_day_utc() -> None:
    ending = waiver(role="model", expires=date(2026, 7, 1))
    made = policy(waivers=(ending,))
    last = datetime(2026, 7, 1, 23, 59, 59, 999999, tzinfo=timezone.utc)
    assert made.waiver_for("channel.tls_spki", "model", last) is ending
    assert made.expired_waivers(last) == ()
    over = last + timedelta(microseconds=1)
    assert made.waiver_for("channel.tls_spki", "model", over) is None
    assert made.expired_waivers(over) == (ending,)
    # Still the first of July on that wall, already the second in UTC.
    west = over.astimezone(timezone(timedelta(hours=-8)))
    assert west.day == 1
    assert made.waiver_for("channel.tls_spki", "model", west) is None


def test_waiver_for_the_right_check_and_role_only() -> None:
    made = policy(waivers=(waiver(role="model"),))
    assert made.waiver_for("channel.tls_spki", "model", NOON) is not None
    assert made.waiver_for("channel.tls_spki", "gateway", NOON) is None
    assert made.waiver_for("channel.tls_spki", None, NOON) is None
    assert made.waiver_for("tcb.status", "model", NOON) is None


def test_waiver_of_every_role() -> None:
    general, special = waiver(reason="all"), waiver(reason="one", role="model", expires=date(2026, 7, 1))
    made = policy(waivers=(general, special))
    assert made.waiver_for("channel.tls_spki", "model", NOON) is special
    assert made.waiver_for("channel.tls_spki", "model", NOON + timedelta(days=1)) is general
    assert made.waiver_for("channel.tls_spki", "gateway", NOON) is general
    assert made.waiver_for("channel.tls_spki", None, NOON) is general


def test_earliest_end() -> None:
    assert policy().earliest_end(NOON) == datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)
    made = policy(
        waivers=(
            waiver(expires=date(2026, 6, 30)),
            waiver(role="model", expires=date(2026, 8, 1)),
            waiver(role="gateway", expires=date(2027, 8, 1)),
            waiver(role="instance"),
        )
    )
    assert made.earliest_end(NOON).date() == date(2026, 8, 1)
    assert made.earliest_end(NOON + timedelta(days=200)).date() == date(2026, 12, 31)


def test_times_without_zone_are_refused() -> None:
    naive = datetime(2026, 7, 1)
    for ask in (policy().earliest_end, policy().expired_waivers):
        with pytest.raises(ConfigurationError, match="has no time zone"):
            ask(naive)
    with pytest.raises(ConfigurationError, match="has no time zone"):
        policy().waiver_for("tcb.status", "model", naive)
