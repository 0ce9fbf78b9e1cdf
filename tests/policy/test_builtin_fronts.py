"""The shipped policies of NanoGPT, Venice and RedPill: observations, and what the captures come to under them."""

from __future__ import annotations

import pytest

from captures import capture_path, policy_path
from teeverify.cli import main
from teeverify.cli.judging import chosen_policy
from teeverify.errors import ConfigurationError
from teeverify.policy import Policy
from teeverify.policy_toml import to_toml
from teeverify.registry import verifier_for
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome

CAPTURES = {"nanogpt": "nanogpt-phala-2026-06-10", "venice": "venice-2026-06-10"}
DEVELOPMENT = ("nanogpt", "phala")


@pytest.mark.parametrize("provider", CAPTURES)
def test_a_capture_under_the_shipped_policy(provider: str) -> None:
    """VERIFIED, by the same pins as under the capture's own policy."""
    report = SavedReport.load(capture_path(CAPTURES[provider]))
    verdict = verifier_for(provider)(Policy.builtin(provider)).verify_saved(report)
    assert verdict.outcome is Outcome.VERIFIED, verdict.conclusion
    own, shipped = Policy.load(policy_path(CAPTURES[provider])), Policy.builtin(provider)
    assert sorted(own.pins) == sorted(shipped.pins)
    for role, seen in own.pins.items():
        pins = shipped.pins[role]
        assert [image.registers for image in pins.base_images or ()] == [
            image.registers for image in seen.base_images or ()
        ]
        for name in ("mr_seam", "app_ids", "compose", "kms_roots", "os_images"):
            assert getattr(pins, name) == getattr(seen, name)
    assert (own.tcb, own.gpu.min_count, own.gpu.arch) == (shipped.tcb, shipped.gpu.min_count, shipped.gpu.arch)


def test_one_machine_more_is_refused() -> None:
    """Venice's machine runs another image, another app: NanoGPT's pins do not take it."""
    report = SavedReport.load(capture_path(CAPTURES["venice"]))
    text = to_toml(Policy.builtin("nanogpt")).replace('provider = "nanogpt"', 'provider = "venice"')
    verdict = verifier_for("venice")(Policy.from_toml(text)).verify_saved(report)
    assert verdict.outcome is Outcome.REJECTED
    deciding = {check.id for check in verdict.checks if check.decides is Outcome.REJECTED}
    assert {"pin.base_image", "pin.app_id", "pin.compose", "pin.kms_root", "pin.os_image"} <= deciding


def test_redpills_images_are_told_apart_by_what_is_measured() -> None:
    pins = Policy.builtin("phala").pins["model"]
    images = pins.base_images or ()
    assert [image.label.rpartition("-")[2] for image in images] == ["0.5.4.1", "0.5.5", "0.5.6", "0.5.7", "0.5.8"]
    assert len({image.rtmr2 for image in images}) == len(images)
    assert len({(image.mrtd, image.rtmr0) for image in images}) == 1
    production = Policy.builtin("venice").pins["model"].base_images or ()
    assert {image.mrtd for image in production} == {image.mrtd for image in images}
    assert {image.rtmr2 for image in production}.isdisjoint({image.rtmr2 for image in images})
    nanogpt = Policy.builtin("nanogpt").pins["model"]
    assert {image.registers for image in nanogpt.base_images or ()} <= {image.registers for image in images}
    assert nanogpt.compose == pins.compose


@pytest.mark.parametrize("provider", [*DEVELOPMENT, "venice"])
def test_development_images_are_called_so(provider: str) -> None:
    labels = [image.label for pins in Policy.builtin(provider).pins.values() for image in pins.base_images or ()]
    assert all(label.startswith("DEVELOPMENT IMAGE ") is (provider in DEVELOPMENT) for label in labels)


@pytest.mark.parametrize("provider", DEVELOPMENT)
def test_development_images_are_nobodys_default(provider: str) -> None:
    with pytest.raises(ConfigurationError, match=f"pass --policy builtin:{provider} to take them"):
        chosen_policy(None, provider)
    assert chosen_policy(f"builtin:{provider}", provider) == Policy.builtin(provider)


def test_a_production_image_is_a_default() -> None:
    assert chosen_policy(None, "venice") == Policy.builtin("venice")


def test_the_command_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(capture_path(CAPTURES["nanogpt"]))
    assert main(["verify", path]) == 2
    assert "accepts development images" in capsys.readouterr().err
    assert main(["verify", path, "--policy", "builtin:nanogpt", "--quiet"]) == 0


@pytest.mark.parametrize("provider", [*CAPTURES, "phala"])
def test_show(provider: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "show", "--builtin", provider]) == 0
    assert Policy.from_toml(capsys.readouterr().out) == Policy.builtin(provider)
