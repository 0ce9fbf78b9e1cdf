"""``teeverify simulate opengradient`` as a user runs it, and ``teeverify attest opengradient`` against it."""

from __future__ import annotations

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

from teeverify.cli import attest_command, main
from teeverify.errors import ConfigurationError
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import OPENGRADIENT_FAULTS

from .test_simulate_command import parsed

pytestmark = [pytest.mark.loopback, pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")]

TEEVERIFY = [sys.executable, "-m", "teeverify"]


@contextmanager
def simulated(*arguments: str) -> Iterator[list[str]]:
    """The lines that the command prints while it serves; it is stopped in the end and must end well."""
    command = [*TEEVERIFY, "simulate", "opengradient", *arguments]
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


def attest_arguments(lines: list[str]) -> list[str]:
    """The arguments of the printed ``attest``, which needs no key."""
    (line,) = [line for line in lines if " attest opengradient " in line]
    program, *arguments = shlex.split(line)
    assert program == "teeverify"
    return arguments


def test_attested_from_another_process_saved_and_judged_offline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, saved = tmp_path / "a directory", tmp_path / "session.json"
    with simulated("--nodes", "3", "--write", str(directory)) as lines:
        arguments = attest_arguments(lines)
        environment = {name: value for name, value in os.environ.items() if name != attest_command.KEY_VARIABLE}
        done = subprocess.run(
            [*TEEVERIFY, *arguments, "--save", str(saved), "--json"],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    live = json.loads(done.stdout)
    assert (live["outcome"], live["provider"]) == ("VERIFIED", "opengradient")
    assert "Level attested:" in live["trust_boundary"]
    assert arguments.count("--node") == 3
    assert "simulated OpenGradient on 127.0.0.1:" in lines[0]
    assert any("192.0.2.7 and chat-api.opengradient.ai" in line for line in lines)
    rules = ["--policy", str(directory / "policy.toml"), "--test-roots", str(directory / "roots")]
    capsys.readouterr()
    assert main(["verify", str(saved), *rules, "--json"]) == 0
    offline = json.loads(capsys.readouterr().out)
    assert (offline["nonce"], offline["policy_digest"]) == (live["nonce"], live["policy_digest"])
    assert offline["subjects"][0]["attested_keys"] == live["subjects"][0]["attested_keys"]
    assert main(["verify", str(saved), "--policy", str(directory / "policy.toml")]) == 1, "not under AWS's own root"


def test_a_lie_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "session.json"
    with simulated("--fault", "swapped-ohttp-key") as lines:
        arguments = attest_arguments(lines)
        capsys.readouterr()
        assert main([*arguments, "--save", str(saved), "-q"]) == 1
        assert "enclave.ohttp_key" in capsys.readouterr().out
        rules = arguments[arguments.index("--test-roots") :]
        assert main(["verify", str(saved), *rules, "-q"]) == 1
        assert "enclave.ohttp_key" in capsys.readouterr().out
        kept = arguments[: arguments.index("--node")]
        alone = [*kept, *arguments[arguments.index("--connect-to") :], "-q"]
        assert main(alone) == 2, "without nodes and --enclave nobody knows where the enclave is"
        assert main([*alone, "--enclave", "https://192.0.2.7"]) == 1, "the enclave shows the same without the nodes"


def test_the_list_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "opengradient", "--list-faults", "--nodes", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert tuple(listed) == SimulatedTee.opengradient(nodes=1).faults
    assert [line for line in lines if not line.startswith("  ")] == ["evidence:", "clock:", "exchange:", "transport:"]
    (line,) = [line for line in lines if line.startswith("  swapped-ohttp-key ")]
    assert OPENGRADIENT_FAULTS["swapped-ohttp-key"].description in line
    assert line.endswith("[REJECTED by enclave.ohttp_key]")
    (line,) = [line for line in lines if line.startswith("  chunk-dropped ")]
    assert line.endswith("[TransportError]")
    (line,) = [line for line in lines if line.startswith("  billing-frame ")]
    assert line.endswith("[VERIFIED]")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["opengradient", "--gpus", "1"], "--gpus is no option of provider 'opengradient'"),
        (["opengradient", "--cloud"], "--cloud is no option of provider 'opengradient'"),
        (["near", "--nodes", "2"], "--nodes is no option of provider 'near'"),
        (["chutes", "--nodes", "2"], "--nodes is no option of provider 'chutes'"),
        (["opengradient", "--nodes", "0"], "nodes is not 1 to 4"),
        (["opengradient", "--nodes", "5"], "nodes is not 1 to 4"),
        (["opengradient", "--nodes", "1", "--fault", "node-disagrees"], "needs 2 nodes"),
        (["opengradient", "--fault", "debug-td"], "no fault is called"),
        (["opengradient", "--port", "99999"], "cannot be had"),
    ],
)
def test_one_sentence_for_what_cannot_be(arguments: list[str], sentence: str) -> None:
    args = parsed(arguments)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        args.run(args)
    assert "\n" not in str(caught.value)
