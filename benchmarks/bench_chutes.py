"""What one Chutes instance of eight GPUs costs among others, and as a ratio to the floor of its distinct signatures."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

from bench_near import dcap_work, p384_work

from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.saved import SavedReport
from teeverify.testing import ChutesSession, chutes_policy, trust_roots

COUNTS = (1, 2, 5, 10)
"""Instances in one report."""


def main() -> None:
    """Judge reports of several sizes, interleaved, and print the cost of an instance in each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().quick else 20
    prepared = {count: _prepared(count) for count in COUNTS}
    for judge, floor in prepared.values():  # warm
        judge(), floor()
    ratios: dict[int, list[float]] = {count: [] for count in COUNTS}
    costs: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(rounds):
        for count, (judge, floor) in prepared.items():
            took, least = _time(judge), _time(floor)
            ratios[count].append(took / least)
            costs[count].append(took / count)
    one = statistics.median(costs[1])
    for count in COUNTS:
        cost = statistics.median(costs[count])
        print(
            f"{count:3} instances of 8 GPUs: {cost * 1e3:6.1f} ms each, {cost / one:4.2f} x the one alone; "
            f"{statistics.median(ratios[count]):4.2f} x the floor of distinct signatures"
        )


def _prepared(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    session = ChutesSession.build(instances=count, gpus=8)
    report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
    policy, roots = Policy.from_toml(chutes_policy(session)), trust_roots()
    verifier = ChutesVerifier(policy, roots=roots)
    at = report.recorded_at
    assert verifier.verify_saved(report).verified
    subjects = verifier.subjects_of_saved(report, roots=roots, at=at, wall_clock=at)
    work = [dcap_work(subject, roots) for subject in subjects]
    seen: set[tuple[bytes, bytes]] = set()
    work += [step for subject in subjects for step in p384_work(subject, seen)]

    def floor() -> None:
        for step in work:
            step()

    return lambda: verifier.verify_saved(report), floor


def _time(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
