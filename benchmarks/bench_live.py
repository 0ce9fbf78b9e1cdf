"""A verdict against the simulated TEE, with latency before every answer, as a multiple of that latency.

The simulation runs in a process of its own, so that its work is neither ours nor under our interpreter's lock.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import define, field, frozen

from teeverify.aio import AsyncVerifier
from teeverify.flow import Flow
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.requests_transport import RequestsTransport
from teeverify.roots import TrustRoots
from teeverify.verdict import AttestationVerdict, Outcome

LATENCY = 0.1
STATES = ("cold", "connected", "warm")
"""Nothing is there; the connections are there; the answers of Intel and NVIDIA's keys are there as well."""

T = TypeVar("T")
Driver: TypeAlias = Callable[[Awaitable[AttestationVerdict]], AttestationVerdict]
"""What drives an asynchronous verifier."""


@define
class Laps:
    """One verdict: its requests, by round trip, and processor time in seconds of the steps between them."""

    batches: list[int] = field(factory=list)
    steps: float = 0.0


def clocked(flow: Flow[T], laps: Laps) -> Flow[T]:
    """The same flow, with its laps noted, whoever drives it; a step begins and ends in one thread."""
    began = time.thread_time()
    try:
        batch = next(flow)
        while True:
            laps.steps += time.thread_time() - began
            laps.batches.append(len(batch))
            answers = yield batch
            began = time.thread_time()
            batch = flow.send(answers)
    except StopIteration as done:
        laps.steps += time.thread_time() - began
        result: T = done.value
        return result


class ClockedVerifier(NearVerifier):
    """Notes the laps of its latest attestation."""

    laps = Laps()

    def attestation_flow(
        self, model: str, *, nonce: bytes | None = None, now: datetime | None = None
    ) -> Flow[AttestationVerdict]:
        """See `teeverify.verifier.Verifier.attestation_flow`."""
        self.laps = Laps()
        return clocked(super().attestation_flow(model, nonce=nonce, now=now), self.laps)


@frozen
class Place:
    """A simulation that runs in another process."""

    model: str
    policy: Policy
    roots: TrustRoots
    settings: dict[str, Any]
    api_key: str
    pipe: Connection

    def transport(self) -> RequestsTransport:
        """A live transport without connections."""
        return RequestsTransport(**self.settings)

    def verifier(self, transport: RequestsTransport) -> ClockedVerifier:
        """A verifier with empty caches."""
        return ClockedVerifier(self.policy, roots=self.roots, transport=transport, api_key=self.api_key)

    def cpu(self) -> float:
        """Seconds of processor time that the simulation took so far."""
        self.pipe.send("cpu")
        return float(self.pipe.recv())


@frozen
class Sample:
    """One verdict in seconds: by the clock, of our processor, of the simulation's, and its laps."""

    wall: float
    cpu: float
    simulation: float
    laps: Laps


def serve(pipe: Connection, cloud: bool, latency: float, gpus: int) -> None:
    """What the other process does: serve until told to stop, and say how much processor time that took."""
    from teeverify.testing import SimulatedTee  # not in our process, whose first verdict is to load what it needs

    with SimulatedTee.near(cloud=cloud, latency=latency, gpus=gpus) as tee:
        keys = dict.fromkeys(tee.origins, tee.api_key)
        pipe.send((tee.model, str(tee.directory), tee.connect_to, str(tee.ca_file), keys))
        while pipe.recv() == "cpu":
            pipe.send(time.process_time())


@contextmanager
def simulation(*, cloud: bool, gpus: int) -> Iterator[Place]:
    """Start a simulation and stop it at the end."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, cloud, LATENCY, gpus), daemon=True)
    process.start()
    theirs.close()
    try:
        model, directory, connect_to, ca_file, keys = pipe.recv()
        folder = Path(directory)
        place = Place(
            model=model,
            policy=Policy.load(folder / "policy.toml"),
            roots=TrustRoots.from_directory(folder / "roots"),
            settings={"connect_to": connect_to, "ca_file": ca_file},
            api_key=next(iter(keys.values())),
            pipe=pipe,
        )
        yield place
        pipe.send("stop")
    finally:
        pipe.close()  # which ends the other process as well
        process.join(10)


def sample(place: Place, verifier: ClockedVerifier, verify: Callable[[], AttestationVerdict]) -> Sample:
    """Time one verdict, which must be VERIFIED."""
    theirs, ours, began = place.cpu(), time.process_time(), time.perf_counter()
    verdict = verify()
    wall, cpu = time.perf_counter() - began, time.process_time() - ours
    assert verdict.outcome is Outcome.VERIFIED, verdict.conclusion
    return Sample(wall, cpu, place.cpu() - theirs, verifier.laps)


def one_round(place: Place, run: Driver | None) -> list[Sample]:
    """One verdict in each state, of a synchronous verifier where ``run`` is None."""

    def asked(verifier: ClockedVerifier) -> Callable[[], AttestationVerdict]:
        if run is None:
            return lambda: verifier.verify_attestation(place.model)
        later = AsyncVerifier(verifier)
        return lambda: run(later.verify_attestation(place.model))

    with place.transport() as transport:
        first, second = place.verifier(transport), place.verifier(transport)
        again = asked(second)
        return [sample(place, first, asked(first)), sample(place, second, again), sample(place, second, again)]


def show(name: str, samples: list[Sample]) -> None:
    """One line, all in multiples of the latency: the whole, what of it is the verifier's, and what it is made of."""
    trips, requests = len(samples[0].laps.batches), sum(samples[0].laps.batches)
    wall, best = typical(samples, "wall"), min(one.wall for one in samples) / LATENCY
    ours, theirs = typical(samples, "cpu"), typical(samples, "simulation")
    judging = statistics.median(one.laps.steps for one in samples) / LATENCY
    print(
        f"{name:22} {wall:5.2f} x latency (best {best:.2f}), verifier alone {trips + ours:.2f}: {trips} round trips "
        f"({requests} requests), {judging:.2f} judging, {ours - judging:.2f} HTTP and TLS; "
        f"{theirs:.2f} the simulation's work, {wall - trips - ours - theirs:.2f} rest"
    )


def typical(samples: list[Sample], kind: str) -> float:
    """The median of one kind of time, as a multiple of the latency."""
    return float(statistics.median(getattr(one, kind) for one in samples)) / LATENCY


def measure(shape: str, *, rounds: int, gpus: int) -> None:
    """Measure one shape, synchronous and asynchronous, in all states, interleaved; the first round warms up."""
    loop = asyncio.new_event_loop()
    drivers: dict[str, Driver | None] = {"sync": None, "async": loop.run_until_complete}
    found: dict[str, list[Sample]] = {f"{shape} {driver} {state}": [] for driver in drivers for state in STATES}
    try:
        with simulation(cloud=shape == "cloud", gpus=gpus) as place:
            show(f"{shape} sync cold, first", one_round(place, None)[:1])
            for _ in range(rounds):
                for driver, run in drivers.items():
                    for state, one in zip(STATES, one_round(place, run), strict=True):
                        found[f"{shape} {driver} {state}"].append(one)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    for name, samples in found.items():
        show(name, samples)
    ours, theirs = (
        typical(found[f"{shape} sync cold"], kind) - typical(found[f"{shape} sync connected"], kind)
        for kind in ("cpu", "simulation")
    )
    print(
        f"{shape}: to open the connections takes {ours:.2f} x latency of our processor's time, {theirs:.2f} of theirs"
    )


def main() -> None:
    """Measure both shapes; the very first verdict of this process loads the libraries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--gpus", type=int, default=8, metavar="N", help="GPUs of each machine (default: 8)")
    args = parser.parse_args()
    for shape in ("cloud", "direct"):
        measure(shape, rounds=1 if args.quick else 5, gpus=args.gpus)


if __name__ == "__main__":
    main()
