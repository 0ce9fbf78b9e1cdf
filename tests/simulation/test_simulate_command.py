"""``teeverify simulate`` as a user runs it."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from teeverify.cli import simulate_command
from teeverify.errors import ConfigurationError
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import FAULTS

pytestmark = pytest.mark.loopback

SCRIPT = (
    "import argparse, sys; from teeverify.cli import simulate_command; "
    "parser = argparse.ArgumentParser(); simulate_command.add_parsers(parser.add_subparsers()); "
    "args = parser.parse_args(); sys.exit(args.run(args))"
)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate_command.add_parsers(parser.add_subparsers())
    return parser.parse_args(["simulate", *arguments])


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tmp_path: Path, stop: signal.Signals) -> None:
    directory = tmp_path / "a directory"
    command = [sys.executable, "-c", SCRIPT, "simulate", "near", "--direct", "--gpus", "1", "--fault", "debug-td"]
    with subprocess.Popen(
        [*command, "--write", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        while not lines or "Ctrl-C" not in lines[-1]:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            lines.append(line.rstrip("\n"))
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", lines[0])[0])
        context = ssl.create_default_context(cafile=str(directory / "tls-ca.pem"))
        with socket.create_connection(("127.0.0.1", port), timeout=20) as bare:
            context.wrap_socket(bare, server_hostname="localhost").close()
        process.send_signal(stop)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    shown = "\n".join(lines)
    assert "debug-td" in shown
    assert "TEST ROOTS" in lines[0]
    (attest,) = [line for line in lines if " attest near " in line]
    words = shlex.split(attest)
    assert words[words.index("--connect-to") + 1] == f"127.0.0.1:{port}"
    for option, file in (("--ca", "tls-ca.pem"), ("--test-roots", "roots"), ("--policy", "policy.toml")):
        path = Path(words[words.index(option) + 1])
        assert path == directory / file
        assert path.exists(), "written files are kept"
    assert "--direct" in words


def test_the_printed_command_is_one_that_attest_takes(tee_direct: SimulatedTee) -> None:
    from teeverify.cli import attest_command

    text = simulate_command._announcement(tee_direct, tee_direct.directory, parsed(["near", "--direct"]))
    (line,) = [line for line in text.splitlines() if " attest near " in line]
    setting, _, *arguments = shlex.split(line)
    assert setting == f"{attest_command.KEY_VARIABLE}={tee_direct.api_key}"
    parser = argparse.ArgumentParser()
    attest_command.add_parsers(parser.add_subparsers())
    args = parser.parse_args(arguments)
    assert (args.provider, args.model, args.route) == ("near", tee_direct.model, "direct")
    assert args.test_roots == str(tee_direct.directory / "roots")


@pytest.mark.parametrize("shape", ["--cloud", "--direct"])
def test_the_list_of_faults(capsys: pytest.CaptureFixture[str], shape: str) -> None:
    args = parsed(["near", "--list-faults", shape])
    assert args.run(args) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert tuple(listed) == SimulatedTee.near(cloud=shape == "--cloud").faults
    assert [line for line in lines if not line.startswith("  ")] == ["evidence:", "clock:", "exchange:", "transport:"]
    (line,) = [line for line in lines if line.startswith("  debug-td ")]
    assert FAULTS["debug-td"].description in line
    assert "[REJECTED by tdx.debug_off]" in line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["elsewhere"], "there is no simulation of provider"),
        (["near", "--fault", "nonsense"], "no fault is called"),
        (["near", "--direct", "--fault", "gateway-missing"], "cloud shape"),
        (["near", "--gpus", "0"], "gpus is not 1 to 32"),
        (["near", "--port", "99999"], "cannot be had"),
    ],
)
def test_one_sentence_for_what_cannot_be(arguments: list[str], sentence: str) -> None:
    args = parsed(arguments)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        args.run(args)
    assert "\n" not in str(caught.value)


def test_a_taken_port_is_told(tee_cloud: SimulatedTee) -> None:
    args = parsed(["near", "--port", str(tee_cloud.port)])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ConfigurationError, match=f"port {tee_cloud.port} of 127.0.0.1 cannot be had"):
        args.run(args)
    assert signal.getsignal(signal.SIGINT) is before
