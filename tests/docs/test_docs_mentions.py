"""What the documentation names exists: checks, reasons, commands, options, files, places in pages."""

import argparse
import re
from collections.abc import Iterator

import attrs
import pytest
from pages import NAMES, PAGES, ROOT, blocks, prose, slug, spans, text_of

from teeverify.check_ids import KNOWN
from teeverify.checks.catalogue import all_checks
from teeverify.cli import _parser
from teeverify.policy import ExchangePolicy, GpuPolicy, RegistryPolicy, TcbPolicy
from teeverify.providers.near import NearVerifier
from teeverify.render.markdown import catalogue_page

THEMES = {check_id.partition(".")[0] for check_id in KNOWN}
SECTIONS = {"tcb": TcbPolicy, "gpu": GpuPolicy, "exchange": ExchangePolicy, "registry": RegistryPolicy}
POLICY_KEYS = {f"{section}.{field.name}" for section, values in SECTIONS.items() for field in attrs.fields(values)}
OTHER_OPTIONS = {"--check"}
"""Options of programs that are not teeverify."""


def parsers(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command with its options."""
    yield path, set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from parsers(child, (*path, name))


COMMANDS = dict(parsers(_parser()))
OPTIONS = set().union(*COMMANDS.values())


def mentions(name: str) -> Iterator[str]:
    """Every command line of teeverify in a page."""
    yield from (span for span in spans(name) if re.match(r"teeverify( |$)", span))
    for block in blocks(name):
        if block.language == "sh":
            for part in re.split(r"\n|&&|;", block.text.replace("\\\n", " ")):
                found = re.match(r"\s*(?:\S*/)?(teeverify( .*)?)$", part)
                if found:
                    yield found[1]


def test_checks_page_is_what_the_generator_writes() -> None:
    assert text_of("docs/checks.md") == catalogue_page()


@pytest.mark.parametrize("name", NAMES)
def test_check_ids(name: str) -> None:
    words = set(re.findall(r"(?<![\w./-])[a-z]+\.[a-z0-9_]+(?![\w/(-]|\.\w)", " ".join(spans(name))))
    ids = {word for word in words if word.partition(".")[0] in THEMES and not word.endswith((".json", ".toml"))}
    unknown = ids - set(KNOWN) - POLICY_KEYS
    assert not unknown


def test_reasons() -> None:
    codes = {code for check in all_checks() for code in check.reasons} | {
        "prerequisite_failed",
        "prerequisite_unevaluated",
    }
    for name in NAMES:
        for reason in re.findall(r"reason\s+`(\w+)`", text_of(name)):
            assert reason in codes, f"{name}: {reason}"


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options(name: str) -> None:
    for mention in mentions(name):
        words = mention.split()[1:]
        path: tuple[str, ...] = ()
        for word in words:
            choices = word.split("|")
            if not all((*path, choice) in COMMANDS for choice in choices):
                break
            path = (*path, choices[0])
        needs_command = words and not words[0].startswith("-")
        assert path or not needs_command, f"{name}: {mention!r} names no command"
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= COMMANDS[path], f"{name}: {mention!r}"
    alone = {span.split()[0] for span in spans(name) if span.startswith("--")}
    assert alone <= OPTIONS | OTHER_OPTIONS


def test_every_command_and_option_of_verify_is_documented() -> None:
    everything = "\n".join(text_of(name) for name in NAMES)
    for path, options in COMMANDS.items():
        assert " ".join(("teeverify", *path)) in everything or path == ("policy",)
        for option in options - {"-h", "--help", "--quiet", "--version", "--builtin"}:
            assert option in everything, f"{' '.join(path)} {option}"


def test_every_near_check_is_in_what_is_proven() -> None:
    text = text_of("docs/what-is-proven-near.md")
    every = (*NearVerifier.applicable, *NearVerifier.exchange_checks)
    assert not [check_id for check_id in every if f"`{check_id}`" not in text]


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f"{name}: {target} leaves the repository"
        assert file.exists(), f"{name}: {target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{name}: {target} is no heading"


def test_every_page_is_linked_from_the_index() -> None:
    index = text_of("docs/index.md")
    assert not [
        page.name for page in PAGES if page.parent.name == "docs" and page.name != "index.md" and page.name not in index
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_place_of_a_developer_machine(name: str) -> None:
    text = text_of(name)
    found = re.search(r"(?<![\w.])/(home|Users|tmp)/|C:\\\\", text)
    assert found is None, found


@pytest.mark.parametrize("name", [name for name in NAMES if name != "docs/checks.md"])
def test_lines_are_short_enough(name: str) -> None:
    inside = False
    for number, line in enumerate(text_of(name).splitlines(), start=1):
        inside ^= line.startswith("```")
        if not inside and not line.startswith(("|", "<!--", "```")):
            assert len(line) <= 120, f"{name}, line {number} has {len(line)} characters"


def test_the_page_that_an_error_names_lists_the_files_that_the_code_reads() -> None:
    source = (ROOT / "src/teeverify/cli/bare_report.py").read_text(encoding="utf-8")
    page = text_of("docs/saved-reports.md")
    assert "docs/saved-reports.md" in source
    names = set(re.findall(r'"([a-z-]+\.(?:json|der|crl))"', source))
    assert {"qe-identity.json", "root-ca.crl", "nras.json"} <= names
    assert not [name for name in names if f"`{name}`" not in page]
    assert "tcb-info-" in page
