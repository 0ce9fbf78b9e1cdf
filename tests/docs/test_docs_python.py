"""Python of the documentation works as typed."""

import ast
import asyncio
import doctest
import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
from docs_running import directive
from pages import NAMES, ROOT, blocks, live

from teeverify.requests_transport import RequestsTransport
from teeverify.testing import SimulatedTee

PYTHON = [name for name in NAMES if any(">>>" in block.text for block in blocks(name))]
NOTEBOOKS = [name for name in NAMES if any(directive(block)[0] == "notebook" for block in blocks(name))]


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that looks like the root of a clone, and no provider registered by another page."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("teeverify.registry._OWN", {})


def end(names: dict[str, Any]) -> None:
    """Close what a page that failed half-way left open."""
    for value in names.values():
        if isinstance(value, (RequestsTransport, SimulatedTee)):
            value.close()


@pytest.mark.parametrize("name", live(PYTHON))
def test_examples(name: str) -> None:
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    source = "\n".join(block.text for block in blocks(name) if block.language == "python" and ">>>" in block.text)
    test = parser.get_doctest(source, {}, name, str(ROOT / name), 0)
    assert test.examples
    failures: list[str] = []
    try:
        runner.run(test, out=failures.append, clear_globs=False)
    finally:
        end(test.globs)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("name", live(NOTEBOOKS))
def test_cells_of_a_notebook(name: str) -> None:
    """Cells run one after the other inside one event loop that is already running, as a notebook runs them."""
    cells = [block.text for block in blocks(name) if directive(block)[0] == "notebook"]
    names: dict[str, Any] = {}

    async def run() -> None:
        for cell in cells:
            code = compile(cell, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            done = eval(code, names)
            if inspect.isawaitable(done):
                await done

    try:
        asyncio.run(run())
    finally:
        end(names)
    assert "assert " in cells[-1]


@pytest.mark.parametrize("name", NAMES)
def test_no_python_is_left_out(name: str) -> None:
    """Every block is an example, a cell, a file that a command runs, or says why it is none of them."""
    for block in blocks(name):
        if block.language == "python" and ">>>" not in block.text:
            kind, more = directive(block)
            assert kind in ("file", "notebook", "not run"), f"{name}, line {block.line}"
            compile(block.text, more or name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
