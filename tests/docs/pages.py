"""The pages of the documentation, taken apart: blocks with the comment in front of them, links, mentions."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(
    sorted(
        [
            *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md")),
            *(ROOT / "docs").glob("*.md"),
        ]
    )
)
NAMES = tuple(str(page.relative_to(ROOT)) for page in PAGES)
LIVE = (
    "README.md",
    "docs/attest-a-vllm-proxy.md",
    "docs/chat-through-a-relay.md",
    "docs/embed-in-an-sdk.md",
    "docs/live-transport.md",
    "docs/save-and-audit.md",
    "docs/test-your-integration.md",
    "docs/tutorial.md",
    "docs/verify-a-response.md",
    "docs/verify-before-you-send.md",
)
"""Pages that talk to a simulation on loopback; no other page uses a socket."""

_FENCE = re.compile(r"^```(\w*)$")
_COMMENT = re.compile(r"^<!-- (.*) -->$")


class Block(NamedTuple):
    """A fenced block: the line it starts at, its language, the comment directly before it, its text."""

    line: int
    language: str
    comment: str
    text: str


def live(names: Iterable[str]) -> list[Any]:
    """Parameters of a test, those of `LIVE` with the mark that lets them use loopback."""
    return [pytest.param(name, marks=pytest.mark.loopback) if name in LIVE else name for name in names]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> Iterator[Block]:
    comment, start, language = "", 0, ""
    inside: list[str] | None = None
    for number, line in enumerate(text_of(name).splitlines(), start=1):
        fence = _FENCE.match(line)
        if inside is not None:
            if line == "```":
                yield Block(start, language, comment, "\n".join(inside))
                inside, comment = None, ""
            else:
                inside.append(line)
        elif fence:
            start, language, inside = number, fence[1], []
        else:
            found = _COMMENT.match(line)
            comment = found[1] if found else ""
    assert inside is None, f"{name}: the fence of line {start} is not closed"


def prose(name: str) -> str:
    """The page without its fenced blocks and comments."""
    without = re.sub(r"^```.*?^```$", "", text_of(name), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", without, flags=re.DOTALL)


def spans(name: str) -> list[str]:
    """Everything in backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", prose(name))


def slug(heading: str) -> str:
    """The anchor that a Markdown heading gets on the web."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")
