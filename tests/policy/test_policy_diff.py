"""What changed between two policies, in words."""

from datetime import date
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from policy_samples import REORDERED, TEXT, image, pins, policies, policy, reg

from teeverify.policy import GpuPolicy, Policy, ReferenceValues, TcbPolicy, Waiver
from teeverify.policy_diff import diff


def one(before: Policy, after: Policy) -> tuple[str, str, str]:
    (change,) = diff(before, after)
    return change.direction, change.key, change.sentence


def both_ways(before: Policy, after: Policy, key: str) -> tuple[str, str]:
    """A change that is looser one way and stricter the other; returns the two sentences."""
    (forth,), (back,) = diff(before, after), diff(after, before)
    assert (forth.direction, back.direction) == ("looser", "stricter")
    assert forth.key == back.key == key
    return forth.sentence, back.sentence


def model(**changes: Any) -> Policy:
    return policy(pins={"model": pins(**changes)})


def test_same_meaning() -> None:
    assert diff(Policy.from_toml(TEXT), Policy.from_toml(REORDERED)) == ()


def test_names() -> None:
    assert one(policy(), policy(name="b")) == ("different", "name", "has name b instead of sample")
    assert one(policy(), policy(provider="chutes"))[:2] == ("different", "provider")


def test_valid_until() -> None:
    forth, _ = both_ways(policy(), policy(valid_until=date(2027, 1, 1)), "valid_until")
    assert forth == "counts its pins as current until 2027-01-01 instead of 2026-12-31"


@pytest.mark.parametrize(
    ("strict", "loose", "key", "words"),
    [
        ({}, {"accept": ("UpToDate", "OutOfDate")}, "tcb.accept", "accepts one more TCB status: OutOfDate"),
        (
            {},
            {"allow_advisories": ("INTEL-SA-01036",)},
            "tcb.allow_advisories",
            "accepts one more advisory: INTEL-SA-01036",
        ),
        (
            {"min_eval_number": 19},
            {"min_eval_number": 18},
            "tcb.min_eval_number",
            "demands an evaluation number of at least 18 instead of 19",
        ),
        ({}, {"grace_days": 14}, "tcb.grace_days", "gives an OutOfDate level days of grace: 14 instead of 0"),
    ],
)
def test_tcb(strict: dict[str, Any], loose: dict[str, Any], key: str, words: str) -> None:
    forth, _ = both_ways(policy(tcb=TcbPolicy(**strict)), policy(tcb=TcbPolicy(**loose)), key)
    assert forth == words


@pytest.mark.parametrize(
    ("strict", "loose", "key", "words"),
    [
        ({}, {"require": False}, "gpu.require", "no longer demands GPU evidence"),
        ({"min_count": 8}, {"min_count": 1}, "gpu.min_count", "demands a number of GPUs of at least 1 instead of 8"),
        ({}, {"arch": ("HOPPER", "BLACKWELL")}, "gpu.arch", "accepts one more GPU architecture: BLACKWELL"),
        (
            {"nras": "required"},
            {"nras": "when_present"},
            "gpu.nras",
            "treats NVIDIA's answer as when_present instead of required",
        ),
        ({"nras": "when_present"}, {"nras": "ignore"}, "gpu.nras", "treats NVIDIA's answer as ignore instead of"),
    ],
)
def test_gpu(strict: dict[str, Any], loose: dict[str, Any], key: str, words: str) -> None:
    forth, _ = both_ways(policy(gpu=GpuPolicy(**strict)), policy(gpu=GpuPolicy(**loose)), key)
    assert forth.startswith(words)


def test_instances() -> None:
    forth, _ = both_ways(policy(), policy(instances="any"), "instances.mode")
    assert forth == "demands, of all instances, any instead of all"


def test_one_more_base_image() -> None:
    forth, back = both_ways(model(), model(base_images=(image(), image(2))), "pins.model.base_images")
    shown = "'image 2' (mrtd 0202020202020202..., rtmr0 0202020202020202..., any rtmr3)"
    assert forth == f"accepts one more base image for role model: {shown}"
    assert back == f"no longer accepts the base image for role model {shown}"


def test_dropping_rtmr3_of_an_image_is_looser_and_nothing_else() -> None:
    strict, loose = (image(rtmr3=reg(7)),), (image(),)
    both_ways(model(base_images=strict), model(base_images=loose), "pins.model.base_images")


def test_an_entry_that_another_covers() -> None:
    twice = model(base_images=(image(), image(rtmr3=reg(7))))
    direction, _, sentence = one(model(), twice)
    assert direction == "different"
    assert "which it accepted already through a wider entry" in sentence
    assert one(twice, model())[0] == "different"
    assert "which a wider entry still accepts" in one(twice, model())[2]


def test_another_label() -> None:
    direction, key, sentence = one(model(), model(base_images=(image(label="new"),)))
    assert (direction, key) == ("different", "pins.model.base_images")
    assert sentence == "calls the base image for role model 'image 1' now 'new'"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mr_seam", reg(1), "TDX module"),
        ("app_ids", b"\x01" * 20, "app id"),
        ("os_images", b"\x01" * 32, "OS image"),
        ("kms_roots", b"\x30\x50" + b"\x01" * 80, "KMS root key"),
        ("signing_keys", b"\x01" * 64, "signing key"),
        ("tls_spki", b"\x01" * 32, "TLS key"),
    ],
)
def test_lists_of_pins(name: str, value: bytes, words: str) -> None:
    other = value[:-1] + b"\x02"
    key = f"pins.model.{name}"
    forth, back = both_ways(model(**{name: (value,)}), model(**{name: None}), key)
    assert forth == f"no longer demands a pinned {words} for role model"
    assert back == f"demands one {words} for role model out of 1 pinned"
    forth, back = both_ways(model(**{name: (value,)}), model(**{name: (other, value)}), key)
    assert forth == f"accepts one more {words} for role model: {other.hex()}"
    assert back == f"no longer accepts the {words} for role model {other.hex()}"


def test_every_kind_of_pin_is_compared() -> None:
    full = Policy.from_toml(TEXT)
    for field in attrs.fields(ReferenceValues):
        if field.name in ("images_by_digest", "compose_flags"):
            continue  # no lists; tests/dstack/test_compose_policy.py has them
        role = "enclave" if field.name == "pcrs" else "model"
        values = attrs.evolve(full.pins[role], **{field.name: None})
        if not values.is_empty:
            reduced = attrs.evolve(full, pins={**full.pins, role: values})
            found = {(change.direction, change.key) for change in diff(full, reduced)}
            assert ("looser", f"pins.{role}.{field.name}") in found
            whole = {("stricter", f"pins.{role}")} if field.name in ("base_images", "compose") else set()
            assert found - {("looser", f"pins.{role}.{field.name}")} == whole


def test_pcrs() -> None:
    wide, narrow = ({"pcr0": reg(1)},), ({"pcr0": reg(1), "pcr8": reg(2)},)
    forth, _ = both_ways(model(pcrs=narrow), model(pcrs=wide), "pins.model.pcrs")
    assert forth == "accepts one more Nitro image for role model: pcr0 0101010101010101..."


def test_roles() -> None:
    wider = policy(pins={"model": pins(), "gateway": pins()})
    forth, back = both_ways(policy(), wider, "pins.gateway")
    assert forth == "pins role gateway, for which nothing was pinned"
    assert back == "no longer pins anything for role gateway, which policy.pinned then refuses"


def test_a_role_without_pins_where_pinning_is_waived() -> None:
    waived = (Waiver(check="policy.pinned", reason="a test"),)
    wider = policy(pins={"model": pins(), "gateway": pins()}, waivers=waived)
    assert one(policy(waivers=waived), wider)[:2] == ("different", "pins.gateway")
    assert one(wider, policy(waivers=waived))[:2] == ("different", "pins.gateway")


def test_waivers() -> None:
    def waived(**changes: Any) -> Policy:
        values = {"check": "channel.tls_spki", "role": "gateway", "reason": "why"} | changes
        return policy(waivers=(Waiver(**values),))

    forth, back = both_ways(policy(), waived(), "waive")
    assert forth == "waives channel.tls_spki for gateway without end: why"
    assert back == "no longer waives channel.tls_spki for gateway"
    assert one(policy(), waived(role=None))[2] == "waives channel.tls_spki for every role without end: why"
    forth, back = both_ways(waived(expires=date(2026, 8, 1)), waived(), "waive")
    assert forth == "waives channel.tls_spki for gateway without end instead of until 2026-08-01"
    both_ways(waived(expires=date(2026, 8, 1)), waived(expires=date(2026, 9, 1)), "waive")
    assert one(waived(), waived(reason="other"))[:2] == ("different", "waive")


OPPOSITE = {"looser": "stricter", "stricter": "looser", "different": "different"}


@given(policies(), policies())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_empty_exactly_when_the_digests_agree_and_mirrored(a: Policy, b: Policy) -> None:
    assert (diff(a, b) == ()) is (a.digest == b.digest)
    assert diff(a, a) == ()
    forth = sorted((change.key, change.direction) for change in diff(a, b))
    back = sorted((change.key, OPPOSITE[change.direction]) for change in diff(b, a))
    assert forth == back
    assert all("\n" not in change.sentence for change in diff(a, b))


def test_a_role_that_attests_beside_another_may_be_left_out_of_a_report_when_it_is_not_pinned() -> None:
    wider = policy(pins={"model": pins(), "compose_manager": pins()})
    (forth,), (back,) = diff(policy(), wider), diff(wider, policy())
    assert (forth.direction, back.direction) == ("different", "different")
    assert "a report without its quote is refused now" in forth.sentence
    assert "a report that leaves its quote out is accepted now" in back.sentence


def test_pins_that_become_whole_open_the_way() -> None:
    half, whole = model(compose=None), model()
    assert ("looser", "pins.model") in {(change.direction, change.key) for change in diff(half, whole)}
    assert ("stricter", "pins.model") in {(change.direction, change.key) for change in diff(whole, half)}
