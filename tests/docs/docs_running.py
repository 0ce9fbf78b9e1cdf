"""Runs what a page tells its reader to type, in a place that looks like the root of a clone.

Blocks of one page share the place, the environment and the port, as they do for a reader. An HTML comment before a
block says what is special about it:

- ``exit: N``: the last command ends with this code.
- ``output``, ``output of: COMMAND``: what the block before, or that command, prints. A line ``...`` stands for any
  lines, ``...`` inside a line for any text.
- ``file: NAME``: the block is a file of that name, which later commands use.
- ``background``: the command runs on, as in another terminal.
- ``real: near``: in the page it is about the real provider; here a simulation stands in for it.
- ``needs: MODULE``, also after ``real: near, ``: left out where that library is not installed.
- ``notebook``: Python with ``await`` outside of functions.
- ``not run: WHY``: left out.
"""

import importlib.util
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from docs_stand_in import stand_in
from pages import Block, blocks, text_of

from teeverify.cli import main

DOCUMENTED_PORT = "8440"
"""The port in the pages; another one is used here, since it may be taken."""
READY = "Ctrl-C ends it."
"""The last line that a command in the background prints when it is ready."""
SET_UP = re.compile(
    r"python3 -m venv|(\S*/)?pip install|\. \S+activate|test -x|\S*python -m pytest|\S*python fixtures/make_fixtures"
)
_SETTING = re.compile(r"[A-Z_]+=")
_NEEDS = re.compile(r"\bneeds: (\w+)")


def commands(block: Block) -> list[str]:
    """The commands of a block that are to be run here, one by one."""
    joined = block.text.replace("\\\n", " ")
    parts = [part.strip() for line in joined.splitlines() for part in re.split(r"\s&&\s|;\s(?=\.venv)", line)]
    return [part for part in parts if part and not part.startswith("#") and not SET_UP.match(part)]


def shows(output: str, expected: str) -> str | None:
    """The first line of ``expected`` that does not follow in the output; None where all do."""
    lines = iter(output.splitlines())
    for wanted in expected.splitlines():
        if wanted.strip() in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("...")))
        # A line of the output may be wrapped or cut in the page only where the page says so with dots.
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


class Reader:
    """Somebody who types what a page says. Use it as a context manager: commands in the background end with it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self._background: list[subprocess.Popen[str]] = []
        self._ran: dict[str, str] = {}
        self._port = DOCUMENTED_PORT
        self.output = ""
        self.missing: list[str] = []

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *failure: object) -> None:
        for process in self._background:
            process.send_signal(signal.SIGINT)
        for process in self._background:
            _, errors = process.communicate(timeout=30)
            assert failure[0] is not None or (process.returncode, errors) == (0, ""), errors

    def read(self, name: str) -> None:
        """Do everything that a page says and compare what it shows."""
        if DOCUMENTED_PORT in text_of(name):
            self._port = free_port()
        left_out = False
        for block in blocks(name):
            place, (kind, more) = f"{name}, line {block.line}", directive(block)
            if kind == "file":
                Path(more).write_text(f"{block.text}\n", encoding="utf-8")
            elif kind in ("output", "output of"):
                shown = self._output_of(more) if kind == "output of" else self.output
                missing = None if left_out else shows(self._here(shown, back=True), block.text)
                assert missing is None, f"{place}: {missing!r} is not in the output\n{shown}"
            elif block.language == "sh" and kind != "not run":
                needed = _NEEDS.search(block.comment)
                left_out = needed is not None and importlib.util.find_spec(needed[1]) is None
                self.missing += [needed[1]] if needed is not None and left_out else []
                if not left_out:
                    with stand_in() if kind == "real" else nullcontext():
                        expected = int(more) if kind == "exit" else 0
                        self._type(block, place, expected=expected, behind=kind == "background")

    def _type(self, block: Block, place: str, *, expected: int, behind: bool) -> None:
        todo = [command for command in commands(block) if "--markdown" not in command]
        if behind:
            assert len(todo) == 1, f"{place}: one command runs in the background"
            self.output = self._start(todo[0])
            return
        results = [self._run(command) for command in todo]
        codes = [code for code, _ in results]
        assert codes == [0] * (len(codes) - 1) + [expected] * bool(codes), f"{place}: {results}"
        self.output = results[-1][1] if results else ""
        self._ran |= {_plain(command): result[1] for command, result in zip(todo, results, strict=True)}

    def _output_of(self, command: str) -> str:
        known = self._ran.get(_plain(command))
        return self._run(command)[1] if known is None else known

    def _run(self, command: str) -> tuple[int, str]:
        """Exit code and output of one command."""
        words = shlex.split(self._here(command))
        while words and _SETTING.match(words[0]):
            name, _, value = words.pop(0).partition("=")
            self._monkeypatch.setenv(name, value)
        if words[0] == "export":
            return self._run(" ".join(map(shlex.quote, words[1:])) + " true")
        if words == ["true"]:
            return 0, ""
        if Path(words[0]).name == "teeverify":
            return self._captured(lambda: main(words[1:]))
        assert words[0] == "python3", f"a test cannot run {command!r}"
        if words[1].endswith(".py"):
            return self._captured(lambda: self._program(words[1]))
        done = subprocess.run(
            [sys.executable, *words[1:]], capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        return done.returncode, done.stdout + done.stderr

    def _captured(self, action: Callable[[], int]) -> tuple[int, str]:
        self._capsys.readouterr()
        code = action()
        captured = self._capsys.readouterr()
        return code, captured.out + captured.err

    def _program(self, name: str) -> int:
        """Run a program of the page in this process, so that the guard on sockets holds for it too."""
        self._monkeypatch.setattr(sys, "argv", [name])
        runpy.run_path(name, run_name="__main__")
        return 0

    def _start(self, command: str) -> str:
        words = shlex.split(self._here(command))
        assert words[0] == "teeverify", f"a test cannot run {command!r} in the background"
        process = subprocess.Popen(
            [sys.executable, "-m", "teeverify", *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._background.append(process)
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip() == READY:
                break
        return "".join(lines)

    def _here(self, text: str, *, back: bool = False) -> str:
        """The text with the documented port in place of the one of this test, or the other way round."""
        return text.replace(self._port, DOCUMENTED_PORT) if back else text.replace(DOCUMENTED_PORT, self._port)


def free_port() -> str:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def directive(block: Block) -> tuple[str, str]:
    """What the comment before a block says: its kind, and the rest."""
    kind, _, more = block.comment.partition(": ")
    return kind, more


def _plain(command: str) -> str:
    words = command.split()
    return " ".join([Path(words[0]).name, *words[1:]])
