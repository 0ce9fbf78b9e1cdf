"""Who may read a provider's own list of measurements: the command that proposes pins, and nothing that judges."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import teeverify
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.providers.chutes_measurements import MEASUREMENTS_URL
from teeverify.saved import SavedReport
from teeverify.testing import ChutesSession, chutes_policy, trust_roots
from teeverify.testing.chutes_world import RECORDED_AT
from teeverify.transport import MockTransport, ReplayTransport

SOURCE: Final = Path(teeverify.__file__).parent
FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"


def test_one_command_reads_the_list() -> None:
    naming = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if "chutes_measurements" in path.read_text(encoding="utf-8")
    }
    assert naming == {"cli/provider_pins.py"}
    proposing = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if "provider_pins" in path.read_text(encoding="utf-8")
    }
    assert proposing == {"cli/pin_command.py"}


def test_verify_does_not_even_load_it() -> None:
    arguments = [
        "verify", str(FIXTURES / "chutes.json"), "-q",
        "--policy", str(FIXTURES / "chutes.toml"), "--test-roots", str(FIXTURES / "roots"),
    ]  # fmt: skip
    code = (
        "import json, sys\nfrom teeverify.cli import main\n"
        f"code = main({arguments!r})\n"
        "print(json.dumps([code, [name for name in sys.modules if 'measurements' in name or 'proposal' in name]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_a_live_challenge_does_not_ask_for_it() -> None:
    session = ChutesSession.build(instances=2, gpus=1)
    replay = ReplayTransport(SavedReport.from_bytes(json.dumps(session.saved()).encode()))

    def send(request: Request) -> Response:
        return replay.send(request)

    transport = MockTransport(send)
    verifier = ChutesVerifier(
        Policy.from_toml(chutes_policy(session)), roots=trust_roots(), transport=transport, clock=lambda: RECORDED_AT
    )
    verdict = verifier.verify_attestation(session.model_name, nonce=session.nonce)
    assert verdict.require() is not None
    assert len(transport.requests) > 3
    assert MEASUREMENTS_URL not in {request.url for request in transport.requests}
    assert not any("measurements" in request.url for request in transport.requests)
