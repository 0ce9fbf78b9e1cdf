"""Commands of the documentation do what it says."""

import re
import shutil
from pathlib import Path

import pytest
from docs_running import Reader, directive, shows
from pages import LIVE, NAMES, ROOT, blocks, live, text_of

from teeverify.policy import Policy

SHELL = [name for name in NAMES if any(block.language == "sh" for block in blocks(name))]
TOML = [name for name in NAMES if any(block.language == "toml" for block in blocks(name))]
KINDS = {
    "background",
    "ci:main",
    "ci:test",
    "exit",
    "file",
    "needs",
    "not run",
    "notebook",
    "output",
    "output of",
    "real",
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that looks like the root of a clone, in which commands may write."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TEEVERIFY_API_KEY", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", live(SHELL))
def test_commands(name: str, clone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(capsys, monkeypatch) as reader:
        reader.read(name)
    if reader.missing:
        pytest.skip(f"not installed, so its blocks were left out: {', '.join(reader.missing)}")


@pytest.mark.parametrize("name", TOML)
def test_pieces_of_policies_are_accepted(name: str) -> None:
    whole = (ROOT / "fixtures/near-cloud.toml").read_text(encoding="utf-8")
    for block in blocks(name):
        if block.language == "toml":
            assert Policy.from_toml(f"{whole}\n{block.text}\n").digest != Policy.from_toml(whole).digest


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_of_a_known_kind(name: str) -> None:
    found = list(blocks(name))
    for block in found:
        kind, _ = directive(block)
        assert not block.comment or kind in KINDS, f"{name}, line {block.line}: {block.comment!r}"
    programs = {more for kind, more in map(directive, found) if kind == "file"}
    typed = "\n".join(block.text for block in found if block.language == "sh")
    assert not [program for program in programs if program not in typed], f"{name}: a file that no command uses"


@pytest.mark.parametrize(
    ("output", "page", "missing"),
    [
        ("one\ntwo\nthree", "one\n...\nthree", None),
        ("one\ntwo", "on...", None),
        ("one\ntwo", "two\none", "one"),
        ("one two", "one", "one"),
        ("one", "one\none", "one"),
        ("", "one", "one"),
    ],
)
def test_an_output_is_compared_line_by_line(output: str, page: str, missing: str | None) -> None:
    assert shows(output, page) == missing


def test_live_pages_are_those_that_say_so() -> None:
    """A page that needs loopback and is not listed fails, since sockets are off; one that is listed has a reason."""
    words = re.compile(r"SimulatedTee|teeverify (demo|simulate|attest)|<!-- (real|notebook)")
    assert [name for name in LIVE if not words.search(text_of(name))] == []


def test_the_first_two_blocks_of_the_readme_are_the_judges() -> None:
    first, second, *_ = blocks("README.md")
    assert (first.comment, second.comment) == ("ci:main", "ci:test")
    assert "\n" not in first.text
    assert first.text == "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/teeverify demo"


def test_the_tutorial_tells_every_exit_code() -> None:
    text = text_of("docs/tutorial.md")
    codes = {int(code) for code in re.findall(r"<!-- exit: (\d) -->", text)}
    assert codes == {1, 2, 3}
    assert all(f"xit code {code}" in text for code in codes)
