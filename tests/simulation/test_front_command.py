"""``teeverify simulate phala|vllm-proxy|aci|...``, and the announced ``teeverify attest`` against it."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

import pytest

from teeverify.cli import attest_command, main, simulate_command
from teeverify.errors import ConfigurationError
from teeverify.testing import SimulatedTee

from .test_simulate_command import parsed

pytestmark = pytest.mark.loopback


def attest_line(tee: SimulatedTee, arguments: list[str]) -> tuple[str, list[str]]:
    """The setting and the arguments of the announced command."""
    text = simulate_command._announcement(tee, tee.directory, parsed(arguments))
    (line,) = [line for line in text.splitlines() if " attest " in line]
    setting, program, *words = shlex.split(line)
    assert program == "teeverify"
    return setting, words


@pytest.mark.parametrize(
    "arguments",
    [
        ["phala"],
        ["phala", "--shape", "near"],
        ["phala", "--shape", "chutes", "--instances", "3"],
        ["phala", "--shape", "aci"],
        ["vllm-proxy"],
        ["vllm-proxy", "--padded"],
        ["aci", "--serving", "aggregator"],
        ["venice"],
    ],
    ids=" ".join,
)
def test_the_announced_command_finds_the_truth_and_the_lie(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulate_command._maker(parsed(arguments))() as tee:
        setting, words = attest_line(tee, arguments)
        name, _, value = setting.partition("=")
        assert name == attest_command.KEY_VARIABLE
        monkeypatch.setenv(name, value)
        assert main([*words, "-q"]) == 0
        assert capsys.readouterr().out.startswith("VERIFIED")
        tee.set_fault("debug-td")
        assert main([*words, "-q"]) == 1
        assert "tdx.debug_off" in capsys.readouterr().out


def test_what_is_announced() -> None:
    with SimulatedTee.vllm_proxy() as tee:
        text = simulate_command._announcement(tee, tee.directory, parsed(["vllm-proxy"]))
    assert f"simulated vllm-proxy (TLS-bound) on 127.0.0.1:{tee.port}" in text
    assert f"base URL: https://127.0.0.1:{tee.port}/v1" in text
    assert "--url https://vllm-proxy.test.invalid/v1 --tls-bound" in text
    with SimulatedTee.nanogpt() as front:
        text = simulate_command._announcement(front, front.directory, parsed(["nanogpt"]))
    assert "hosts:    nano-gpt.com, all at" in text


@pytest.mark.parametrize("provider", ["phala", "vllm-proxy", "aci"])
def test_the_list_of_faults(capsys: pytest.CaptureFixture[str], provider: str) -> None:
    assert main(["simulate", provider, "--list-faults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert tuple(listed) == simulate_command._maker(parsed([provider]))().faults
    assert [line for line in lines if not line.startswith("  ")] == ["evidence:", "clock:", "exchange:", "transport:"]
    (line,) = [line for line in lines if line.startswith("  debug-td ")]
    assert "[REJECTED by " in line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["phala", "--padded"], "--padded is no option of provider 'phala'"),
        (["vllm-proxy", "--shape", "near"], "--shape is no option of provider 'vllm-proxy'"),
        (["aci", "--gpus", "2"], "--gpus is no option of provider 'aci'"),
        (["near", "--serving", "direct"], "--serving is no option of provider 'near'"),
        (["phala", "--shape", "tinfoil"], "shape 'tinfoil' is none of dstack, near, chutes"),
        (["aci", "--serving", "both"], "serving 'both' is none of direct, aggregator"),
        (["vllm-proxy", "--padded", "--fault", "other-tls-key"], "binds its TLS key"),
    ],
)
def test_one_sentence_for_what_cannot_be(arguments: list[str], sentence: str) -> None:
    def tried(args: Any) -> None:
        args.run(args)

    args = parsed(arguments)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        tried(args)
    assert "\n" not in str(caught.value)


def test_attest_takes_what_is_announced() -> None:
    with SimulatedTee.aci() as tee:
        _, words = attest_line(tee, ["aci"])
    parser = argparse.ArgumentParser()
    attest_command.add_parsers(parser.add_subparsers())
    args = parser.parse_args(words)
    assert (args.provider, args.url, args.connect_to) == (
        "aci",
        "https://aci.teeverify.example/v1",
        f"127.0.0.1:{tee.port}",
    )
