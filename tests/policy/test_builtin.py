"""The shipped policies: valid, pinned, without relaxation, each value with its source."""

import itertools
import re
from datetime import date, datetime, timezone
from importlib import resources

import pytest
from policy_samples import captured_policies

from teeverify.errors import PolicyError
from teeverify.policy import Policy
from teeverify.policy_lint import lint
from teeverify.policy_toml import builtin_names

AT = datetime(2026, 7, 1, tzinfo=timezone.utc)


def source_of(name: str) -> str:
    return resources.files("teeverify").joinpath("reference_values", f"{name}.toml").read_text(encoding="utf-8")


def test_names() -> None:
    assert "near" in builtin_names()


@pytest.mark.parametrize("name", ["", "nera", "../near", "near.toml", "/etc/passwd", "near\x00", "policies/near"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(PolicyError, match=r"does not exist, one of .*near.* was expected"):
        Policy.builtin(name)


@pytest.mark.parametrize("name", builtin_names())
def test_shipped_policies_are_pinned_and_strict(name: str) -> None:
    policy = Policy.builtin(name)
    assert all(values.is_pinned or values.is_enclave_pinned for values in policy.pins.values())
    assert policy.waivers == ()
    assert policy.tcb.accept == ("UpToDate",)
    assert policy.tcb.allow_advisories == ()
    assert policy.tcb.grace_days == 0
    assert policy.gpu.require
    assert policy.gpu.nras == "required"
    # A prompt goes to the one instance whose key it is encrypted to, so for Chutes any that is VERIFIED will do.
    assert policy.instances == ("any" if name == "chutes" else "all")
    assert lint(policy, AT) == ()


@pytest.mark.parametrize("name", builtin_names())
def test_every_shipped_pin_says_where_it_was_seen(name: str) -> None:
    text = source_of(name)
    assert "You are the one who decides" in text
    lines = text.splitlines()
    pins = [index for index, line in enumerate(lines) if line.startswith("  ") and not line.lstrip().startswith("#")]
    assert pins
    for index in pins:
        above = list(itertools.takewhile(lambda line: line.startswith("  #"), reversed(lines[:index])))
        comment = " ".join(line.strip(" #") for line in reversed(above))
        seen = re.search(r"observed in (a )?reports? of .* on 2026-\d\d-\d\d, hardware checks passed", comment.lower())
        said = re.search(r"published by .*, as recorded by .* on 2026-\d\d-\d\d; not seen", comment.lower())
        assert seen or said


def test_chutes() -> None:
    policy = Policy.builtin("chutes")
    images = policy.pins["instance"].base_images
    assert images is not None
    assert len(images) == 8
    assert all(image.rtmr3 is not None and any(image.rtmr3) for image in images)


@pytest.mark.skipif(not captured_policies(), reason="no captures: TEEVERIFY_CAPTURES names no such folder")
def test_chutes_agrees_with_what_was_captured() -> None:
    captured = {path.stem: path for path in captured_policies()}
    seen = Policy.load(captured["chutes-2026-06-29"]).pins["instance"]
    shipped = Policy.builtin("chutes").pins["instance"]
    assert {image.registers for image in seen.base_images or ()} <= {i.registers for i in shipped.base_images or ()}
    assert set(seen.mr_seam or ()) <= set(shipped.mr_seam or ())


def test_near() -> None:
    policy = Policy.builtin("near")
    assert (policy.name, policy.provider, policy.valid_until) == ("near", "near", date(2026, 12, 29))
    assert sorted(policy.pins) == ["compose_manager", "gateway", "model"]
    assert (policy.tcb.min_eval_number, policy.gpu.min_count, policy.gpu.arch) == (19, 8, ("HOPPER",))
    model, manager = policy.pins["model"], policy.pins["compose_manager"]
    assert model.base_images is not None
    assert manager.base_images is not None
    assert [image.registers for image in model.base_images] == [image.registers for image in manager.base_images]
    assert len(model.base_images) == 2
    for name in ("mr_seam", "app_ids", "compose", "kms_roots", "os_images"):
        assert getattr(model, name) == getattr(manager, name)


@pytest.mark.skipif(not captured_policies(), reason="no captures: TEEVERIFY_CAPTURES names no such folder")
def test_near_agrees_with_what_was_captured() -> None:
    captured = {path.stem: path for path in captured_policies()}
    near, cloud = Policy.builtin("near"), Policy.load(captured["near-cloud-2026-06-29"])
    smaller = Policy.load(captured["near-direct-2026-04-24"])
    for role, seen in cloud.pins.items():
        shipped = near.pins[role]
        for name in ("mr_seam", "app_ids", "compose", "kms_roots", "os_images"):
            assert getattr(shipped, name) == getattr(seen, name)
        wanted = {image.registers for image in seen.base_images or ()}
        if role in smaller.pins:
            wanted |= {image.registers for image in smaller.pins[role].base_images or ()}
        assert {image.registers for image in shipped.base_images or ()} == wanted
