"""What is loaded when: importing the package costs nothing, and help needs no cryptography."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

THIRD_PARTY = ("attr", "attrs", "cryptography", "dcap_qvl", "jwt", "eth_keys", "Crypto", "requests", "tomli")


def _loaded_after(code: str) -> set[str]:
    """Top-level names in sys.modules after running code in a fresh interpreter."""
    script = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        "import json\nprint('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_no_third_party_library() -> None:
    assert not _loaded_after("import teeverify") & set(THIRD_PARTY)


def test_the_values_need_attrs_only() -> None:
    loaded = _loaded_after("from teeverify import Policy, SavedReport, AttestationVerdict, Outcome")
    assert loaded & set(THIRD_PARTY) <= {"attr", "attrs"}


def test_a_verifier_loads_no_cryptography_before_it_verifies() -> None:
    loaded = _loaded_after("from teeverify import NearVerifier")
    assert not loaded & {"dcap_qvl", "jwt", "eth_keys", "Crypto", "requests"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["verify", "--help"], ["policy", "--help"], ["--version"], ["no-such-command"], []]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = _loaded_after(f"from teeverify.cli import main; main({arguments!r})")
    assert not loaded & {"dcap_qvl", "requests", "eth_keys", "cryptography", "jwt", "Crypto"}


@pytest.mark.parametrize("arguments", [["checks"], ["explain", "pin.compose"], ["policy", "show", "builtin:near"]])
def test_looking_up_a_check_or_a_policy_loads_no_cryptography(arguments: list[str]) -> None:
    loaded = _loaded_after(f"from teeverify.cli import main; main({arguments!r})")
    assert not loaded & {"dcap_qvl", "requests", "eth_keys", "cryptography", "jwt", "Crypto"}


def test_verifying_needs_no_network_library() -> None:
    assert "requests" not in _loaded_after("import teeverify.providers.near, teeverify.render.text")
