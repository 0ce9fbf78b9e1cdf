"""``teeverify simulate chutes`` as a user runs it, and ``teeverify attest chutes`` against it, each a process."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from teeverify.cli import attest_command, main, simulate_command
from teeverify.errors import ConfigurationError
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import CHUTES_FAULTS

from .test_simulate_command import parsed

pytestmark = [pytest.mark.loopback, pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")]

TEEVERIFY = [sys.executable, "-m", "teeverify"]


@contextmanager
def simulated(*arguments: str) -> Iterator[list[str]]:
    """The lines that ``simulate chutes`` prints while it serves; it is stopped in the end and must end well."""
    command = [*TEEVERIFY, "simulate", "chutes", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        try:
            while not lines or "Ctrl-C" not in lines[-1]:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                lines.append(line.rstrip("\n"))
            yield lines
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)
        assert (code, process.stderr.read()) == (0, "")


def attest_line(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """The environment and the arguments of the printed ``attest``."""
    (line,) = [line for line in lines if " attest chutes " in line]
    setting, program, *arguments = shlex.split(line)
    assert program == "teeverify"
    name, _, value = setting.partition("=")
    return {**os.environ, name: value}, arguments


def ran(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TEEVERIFY, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_attested_from_another_process_saved_and_judged_offline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, saved = tmp_path / "a directory", tmp_path / "session.json"
    with simulated("--instances", "3", "--gpus", "1", "--write", str(directory)) as lines:
        environment, arguments = attest_line(lines)
        done = ran(environment, *arguments, "--save", str(saved), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    live = json.loads(done.stdout)
    assert (live["outcome"], live["provider"], len(live["subjects"])) == ("VERIFIED", "chutes", 3)
    assert "simulated Chutes on 127.0.0.1:" in lines[0]
    assert "TEST ROOTS" in lines[0]
    assert any("llm.chutes.ai and api.chutes.ai" in line for line in lines)
    assert {path.name for path in directory.iterdir()} == {"roots", "policy.toml", "tls-ca.pem"}
    rules = ["--policy", str(directory / "policy.toml"), "--test-roots", str(directory / "roots")]
    capsys.readouterr()
    assert main(["verify", str(saved), *rules, "--json"]) == 0
    offline = json.loads(capsys.readouterr().out)
    assert (offline["outcome"], offline["nonce"], offline["policy_digest"]) == (
        "VERIFIED",
        live["nonce"],
        live["policy_digest"],
    )
    keys = [[subject["id"], subject["attested_keys"]] for subject in live["subjects"]]
    assert keys == [[subject["id"], subject["attested_keys"]] for subject in offline["subjects"]]
    assert main(["verify", str(saved), "--policy", str(directory / "policy.toml")]) == 1, "not under the vendors' roots"
    key = environment[attest_command.KEY_VARIABLE]
    assert key not in saved.read_text(encoding="utf-8")


def test_a_lie_is_refused_from_another_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "session.json"
    with simulated("--gpus", "1", "--fault", "swapped-key") as lines:
        environment, arguments = attest_line(lines)
        done = ran(environment, *arguments, "--save", str(saved), "-q")
        without = ran({**environment, attest_command.KEY_VARIABLE: "another"}, *arguments, "-q")
        rules = [word for option in ("--policy", "--test-roots") for word in _with_value(arguments, option)]
        capsys.readouterr()
        assert main(["verify", str(saved), *rules, "-q"]) == 1
        assert "binding.report_data" in capsys.readouterr().out
        files = Path(_with_value(arguments, "--policy")[1])
        assert files.exists()
    assert not files.exists(), "without --write the files go with the process"
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("REJECTED")
    assert "binding.report_data" in done.stdout
    assert without.returncode == 3
    assert without.stdout.startswith("INCONCLUSIVE")
    assert any(line.split() == ["fault:", "swapped-key"] for line in lines)


def _with_value(arguments: list[str], option: str) -> list[str]:
    index = arguments.index(option)
    return arguments[index : index + 2]


def test_the_list_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "chutes", "--list-faults", "--instances", "1", "--gpus", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert tuple(listed) == SimulatedTee.chutes(instances=1, gpus=1).faults
    assert [line for line in lines if not line.startswith("  ")] == ["evidence:", "clock:", "transport:"]
    (line,) = [line for line in lines if line.startswith("  swapped-key ")]
    assert CHUTES_FAULTS["swapped-key"].description in line
    assert "[REJECTED by binding.report_data]" in line
    (line,) = [line for line in lines if line.startswith("  failed-ids-null ")]
    assert line.endswith("[VERIFIED]")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["elsewhere"], "there is no simulation of provider 'elsewhere': near, chutes, "),
        (["chutes", "--cloud"], "--cloud is no option of provider 'chutes'"),
        (["chutes", "--direct"], "--direct is no option of provider 'chutes'"),
        (["chutes", "--backends", "2"], "--backends is no option of provider 'chutes'"),
        (["near", "--instances", "2"], "--instances is no option of provider 'near'"),
        (["chutes", "--instances", "6"], "instances is not 1 to 5"),
        (["chutes", "--instances", "0"], "instances is not 1 to 5"),
        (["chutes", "--gpus", "0"], "gpus is not 1 to 32"),
        (["chutes", "--fault", "wrong-signer"], "no fault is called"),
        (["chutes", "--instances", "1", "--fault", "ids-swapped"], "needs 2 instances"),
        (["chutes", "--port", "99999"], "cannot be had"),
    ],
)
def test_one_sentence_for_what_cannot_be(arguments: list[str], sentence: str) -> None:
    args = parsed(arguments)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        args.run(args)
    assert "\n" not in str(caught.value)


def test_the_printed_command_is_one_that_attest_takes() -> None:
    with SimulatedTee.chutes(gpus=1, model="somebody's/model-TEE") as tee:
        text = simulate_command._announcement(tee, tee.directory, parsed(["chutes"]))
        _, arguments = attest_line(text.splitlines())
        parser = argparse.ArgumentParser()
        attest_command.add_parsers(parser.add_subparsers())
        args = parser.parse_args(arguments)
        assert (args.provider, args.model, args.route) == ("chutes", tee.model, None)
        assert args.connect_to == f"127.0.0.1:{tee.port}"
