"""Imports go one way, and each third-party library has one room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import teeverify

SOURCE: Final = Path(teeverify.__file__).parent
FILES: Final = sorted(SOURCE.rglob("*.py"))
VALUES: Final = {"errors", "limits", "verdict", "flow", "check_ids"}
"""Value modules that any room may use."""

ROOMS: Final[dict[str, set[str]]] = {
    "formats": {"errors", "limits", "crypto.digests", "formats"},
    "crypto": {"errors", "limits", "claims", "formats", "roots", "crypto"},
    "claims": {"formats", "claims", "errors", "limits"},
    "endorsements": {"errors", "limits", "flow", "claims", "formats", "endorsements"},
    "derivation": {"errors", "limits", "roots", "claims", "formats", "crypto", "endorsements", "derivation"},
    "checks": {"errors", "limits", "check_ids", "verdict", "claims", "formats", "policy", "checks"},
    "render": {"verdict", "saved", "checks.catalogue", "render", "check_ids"},
    "policy": {"errors", "limits", "formats", "check_ids", "policy"},
    "appraisal": {"claims", "checks.catalogue", "policy", "verdict", "check_ids"},
    "transport": {"errors", "flow", "formats", "saved", "limits"},
    "saved": {"errors", "exchange", "flow", "formats", "limits"},
    "exchange": {"errors", "challenge", "formats", "limits"},
    "flow": {"errors", "limits"},
    "challenge": {"errors"},
    "verdict": {"errors", "saved"},
    "errors": {"verdict"},
    "limits": set(),
    "check_ids": set(),
}
"""What each room may import of the package (a module, or a room with everything in it)."""

TYPES_ONLY: Final = {("errors", "verdict"), ("verdict", "saved")}
"""What a room may name for the type checker and never import."""

LIBRARIES: Final = {
    "cryptography": {"crypto", "testing"},
    "dcap_qvl": {"crypto", "testing"},
    "jwt": {"crypto", "testing"},
    "Crypto": {"crypto", "testing"},
    "eth_keys": {"crypto", "testing"},
    "requests": {"requests_transport"},
    "urllib3": {"requests_transport"},
    "httpx": {"integrations"},
    "aiohttp": {"integrations"},
    "yaml": {"formats"},
    "tomllib": {"policy"},
    "tomli": {"policy"},
    "argparse": {"cli"},
    "socket": {"requests_transport", "outages", "testing"},
    "ssl": {"requests_transport", "outages", "tls", "testing"},
    "asyncio": {"aio", "single_flight", "cache", "integrations"},
    "http.server": {"testing"},
    "urllib.request": set[str](),
    "http.client": {"requests_transport", "outages"},
    "subprocess": set[str](),
    "random": {"requests_transport"},
    "pickle": set[str](),
}


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _in_rooms(*rooms: str) -> list[Path]:
    return [path for path in FILES if _room(path) in rooms]


def _room(path: Path) -> str:
    """``checks`` for checks/tdx.py; the policy modules are one room."""
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if first.startswith("requests_"):
        return "requests_transport"
    return "policy" if first.startswith("policy") else first


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names that a file imports, and whether only for the type checker."""
    package = ("teeverify", *path.relative_to(SOURCE).parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{module}.{alias.name}", id(node) in typing_only


def _own(name: str) -> str | None:
    """What of the package a dotted name means, as room.module; None for other packages."""
    if not name.startswith("teeverify."):
        return None
    return name.removeprefix("teeverify.")


@pytest.mark.parametrize("path", _in_rooms(*ROOMS), ids=_name)
def test_imports_go_one_way(path: Path) -> None:
    room = _room(path)
    for name, typing_only in _imports(path):
        own = _own(name)
        if own is None or own.startswith("__version__"):
            continue
        target = "policy" if own.startswith("policy") else own
        allowed = any(target == entry or target.startswith(f"{entry}.") for entry in ROOMS[room])
        if (room, own.partition(".")[0]) in TYPES_ONLY:
            assert typing_only, f"{room} may name {own} for the type checker only"
        assert allowed or (typing_only and room == "policy"), f"{path.name} of {room} imports {own}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_each_library_has_one_room(path: Path) -> None:
    for name, typing_only in _imports(path):
        for library, rooms in LIBRARIES.items():
            if (name == library or name.startswith(f"{library}.")) and not typing_only:
                assert _room(path) in rooms, f"{path.name} imports {name}"


_IMPURE: Final = ("datetime.now", "datetime.utcnow", "time.time", "os.environ", "os.urandom", "secrets.", "logging.")
_PURE_ROOMS: Final = (
    "checks",
    "claims",
    "formats",
    "derivation",
    "endorsements",
    "appraisal",
    "render",
    "crypto",
    "policy",
)


@pytest.mark.parametrize("path", _in_rooms(*_PURE_ROOMS), ids=_name)
def test_time_randomness_and_environment_are_arguments(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for impure in _IMPURE:
        assert not any(name.startswith(impure) for name in called | names), f"{path.name} uses {impure}"
    assert "print" not in called
    if _room(path) != "policy":  # policies and test roots are read from files that the caller names
        assert "open" not in called


@pytest.mark.parametrize("path", _in_rooms("cli", "render", "providers"), ids=_name)
def test_who_shows_and_who_fetches_does_not_decide(path: Path) -> None:
    """No finding is made and no outcome is compared with anything but a table of words outside the checks."""
    text = path.read_text(encoding="utf-8")
    for maker in ("passed(", "failed(", "unevaluated(", "Finding(", "CheckResult(", "AttestationVerdict("):
        assert maker not in text, f"{path.name} makes a finding or a verdict"
    if path.name == "pin_command.py":
        return  # refuses to write pins of a report that is rejected: it shows no verdict
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            assert "Outcome." not in ast.unparse(node), f"{path.name} compares an outcome"


def test_the_checks_know_no_provider() -> None:
    for path in FILES:
        if _room(path) == "checks":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Compare):
                    assert "provider" not in ast.unparse(node.left).split("."), f"{path.name} asks who the provider is"
