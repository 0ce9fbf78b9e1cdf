"""The truthful simulation of Chutes: VERIFIED over real connections, fresh for every nonce, in every shape."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from teeverify.errors import ConfigurationError
from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.roots import PRODUCTION_ROOTS, TrustRoots
from teeverify.testing import SimulatedTee
from teeverify.verdict import Outcome

from .chutes_world import API, LLM, attested, chute_of, deciding
from .raw_client import RawClient, RawTransport

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(("instances", "gpus"), [(1, 1), (2, 2), (5, 1), (1, 8)])
def test_the_truth_is_verified(instances: int, gpus: int) -> None:
    with SimulatedTee.chutes(instances=instances, gpus=gpus) as tee:
        verdict = attested(tee).require()
        asked = [f"{entry.method} {entry.host}{entry.path}" for entry in tee.asked]
    assert verdict.test_roots
    assert len(verdict.subjects) == instances
    assert len({key.public_key for subject in verdict.subjects for key in subject.attested_keys}) == instances
    assert asked[0] == f"GET {LLM}/v1/models"
    assert sum(f"GET {API}/" in one for one in asked) == 2
    assert sum(one.startswith("POST nras.attestation.nvidia.com") for one in asked) == instances
    families = min(instances, 2)
    assert sum("intel.com" in one for one in asked) == 3 + families


def test_a_client_of_the_standard_library_finds_the_same() -> None:
    with SimulatedTee.chutes(gpus=1) as tee:
        verifier = ChutesVerifier(tee.policy, roots=tee.roots, transport=RawTransport(tee))
        assert verifier.verify_attestation(tee.model).require().verified


def test_by_chute_and_by_model() -> None:
    with SimulatedTee.chutes(gpus=1, model="somebody/else-TEE") as tee:
        chute = chute_of(tee)
        tee.log.forget()
        assert attested(tee, chute=chute).require().verified
        assert LLM not in {entry.host for entry in tee.asked}, "who names the chute does not ask for it"
        other = "00000000-0000-4000-8000-000000000000"
        assert attested(tee, chute=other).outcome is Outcome.INCONCLUSIVE
        assert {entry.status for entry in tee.asked if other in entry.target} == {404}


def test_nobody_else_accepts_it() -> None:
    with SimulatedTee.chutes(gpus=1) as tee, tee.transport() as transport:
        genuine = ChutesVerifier(tee.policy, roots=PRODUCTION_ROOTS, transport=transport, api_key=tee.api_key)
        verdict = genuine.verify_attestation(tee.model)
    assert verdict.outcome is Outcome.REJECTED
    assert {"tdx.quote_signature", "gpu.cert_chain"} <= deciding(verdict)


def test_another_seed_is_another_world() -> None:
    with SimulatedTee.chutes(gpus=1, seed="another") as other, SimulatedTee.chutes(gpus=1) as tee:
        assert attested(other).require().verified
        assert attested(other, policy=tee.policy).outcome is Outcome.REJECTED
        assert other.roots != tee.roots


@pytest.mark.parametrize("seconds", [-2, 0, 30])
def test_around_midnight(seconds: int) -> None:
    midnight = datetime(2026, 7, 1, tzinfo=timezone.utc)
    with SimulatedTee.chutes(gpus=1, at=midnight + timedelta(seconds=seconds)) as tee:
        assert attested(tee).require().verified


def test_a_clock_that_goes_on() -> None:
    now = [datetime(2026, 7, 1, 23, 59, 50, tzinfo=timezone.utc)]
    with SimulatedTee.chutes(gpus=1, at=lambda: now[0]) as tee:
        for _ in range(4):
            assert attested(tee).require().verified
            now[0] += timedelta(seconds=20)
        now[0] += timedelta(days=40)
        assert attested(tee).require().verified


def test_many_clients_at_once() -> None:
    barrier = threading.Barrier(4)
    with SimulatedTee.chutes(gpus=1) as tee:

        def client(_: int) -> bool:
            barrier.wait(20)
            return attested(tee).verified

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(client, range(4)))
        assert tee.log.most_at_once > 1


@pytest.mark.parametrize(
    "settings", [{"gpus": 0}, {"gpus": 33}, {"instances": 0}, {"instances": 6}, {"latency": -1.0}, {"port": 70_000}]
)
def test_settings_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SimulatedTee.chutes(**settings).start()  # type: ignore[arg-type]


def test_what_is_written_is_what_it_is_judged_by(tmp_path: Path) -> None:
    with SimulatedTee.chutes(gpus=3) as tee:
        tee.write(tmp_path / "files")
        assert TrustRoots.from_directory(tmp_path / "files" / "roots") == tee.roots
        policy = Policy.load(tmp_path / "files" / "policy.toml")
        assert policy.digest == tee.policy.digest
        assert (tmp_path / "files" / "tls-ca.pem").read_bytes() == tee.ca_file.read_bytes()
    assert (policy.provider, policy.name, policy.gpu.min_count) == ("chutes", "chutes-simulated", 3)
    assert {path.name for path in (tmp_path / "files").iterdir()} == {"roots", "policy.toml", "tls-ca.pem"}


def test_the_life_of_a_simulation() -> None:
    tee = SimulatedTee.chutes(gpus=1)
    with pytest.raises(ConfigurationError, match="not started"):
        _ = tee.port
    with tee:
        shown = [tee.fault]
        tee.set_fault("debug-td")
        assert [*shown, tee.fault] == [None, "debug-td"]
        with RawClient(tee, LLM) as client:
            assert client.get("/v1/models").status == 200
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("teeverify-simulation")]
    with pytest.raises(ConfigurationError, match="started before"):
        tee.start()
