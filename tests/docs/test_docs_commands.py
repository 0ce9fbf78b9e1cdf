"""Commands and Python blocks of the documentation do what it says."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import NAMES, ROOT, Block, blocks, text_of

from teeverify.cli import main

SHELL = [name for name in NAMES if any(block.language == "sh" for block in blocks(name))]
PYTHON = [name for name in NAMES if any(block.language == "python" for block in blocks(name))]
SET_UP = re.compile(
    r"python3 -m venv|(\S*/)?pip install|\. \S+activate|test -x|\S*python -m pytest|\S*python fixtures/make_fixtures"
)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that looks like the root of a clone, in which commands may write."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


def commands(block: Block) -> list[str]:
    """The commands of a block that are to be run here, one by one."""
    joined = block.text.replace("\\\n", " ")
    parts = [part.strip() for line in joined.splitlines() for part in re.split(r"\s&&\s|;\s(?=\.venv)", line)]
    return [part for part in parts if part and not part.startswith("#") and not SET_UP.match(part)]


def run(command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of one command."""
    words = shlex.split(command)
    program = Path(words[0]).name
    if program == "teeverify":
        capsys.readouterr()
        code = main(words[1:])
        captured = capsys.readouterr()
        return code, captured.out + captured.err
    assert program == "python3", f"a test cannot run {command!r}"
    done = subprocess.run(
        [sys.executable, *words[1:]], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    return done.returncode, done.stdout + done.stderr


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


@pytest.mark.parametrize("name", SHELL)
def test_commands(name: str, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ""
    for block in blocks(name):
        place = f"{name}, line {block.line}"
        if block.comment.startswith("output of: "):
            output = run(block.comment.removeprefix("output of: "), capsys)[1]
        if block.comment == "output" or block.comment.startswith("output of: "):
            missing = shows(output, block.text)
            assert missing is None, f"{place}: {missing!r} is not in the output\n{output}"
        if block.language != "sh" or block.comment.startswith("not run: "):
            continue
        expected = int(block.comment.removeprefix("exit: ")) if block.comment.startswith("exit: ") else 0
        todo = commands(block)
        results = [run(command, capsys) for command in todo if "--markdown" not in command]
        codes = [code for code, _ in results]
        assert codes == [0] * (len(codes) - 1) + [expected] * bool(codes), f"{place}: {results}"
        output = results[-1][1] if results else ""


@pytest.mark.parametrize("name", PYTHON)
def test_python_blocks(name: str, clone: Path) -> None:
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    source = "\n".join(block.text for block in blocks(name) if block.language == "python")
    test = parser.get_doctest(source, {}, name, str(ROOT / name), 0)
    assert test.examples
    failures: list[str] = []
    runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_the_first_two_blocks_of_the_readme_are_the_judges() -> None:
    first, second, *_ = blocks("README.md")
    assert (first.comment, second.comment) == ("ci:main", "ci:test")
    assert "\n" not in first.text
    assert first.text.startswith("python3 -m venv .venv && ")


def test_the_tutorial_tells_every_exit_code() -> None:
    text = text_of("docs/tutorial.md")
    codes = {int(code) for code in re.findall(r"<!-- exit: (\d) -->", text)}
    assert codes == {1, 2, 3}
    assert all(f"xit code {code}" in text for code in codes)
