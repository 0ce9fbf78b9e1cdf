"""What a caller pays for a verdict that is held already, in microseconds and over an empty call under a lock."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone

from teeverify.aio import AsyncVerifier
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import MODEL, NearSession, near_policy, trust_roots
from teeverify.verdict import Outcome

AIM = 5.0
"""Microseconds within which a held verdict is to be given out."""
CALLS = 2000
"""Calls that are timed together."""

Call = Callable[[], object]


def verifier_with_verdict() -> NearVerifier:
    """A verifier under its default clock that holds a VERIFIED verdict, of a session made now."""
    session = NearSession.cloud(gpus=1, at=datetime.now(timezone.utc))
    verifier = NearVerifier(Policy.from_toml(near_policy(session)), roots=trust_roots())
    verdict = verifier.verify_saved(SavedReport.from_bytes(json.dumps(session.saved()).encode()))
    assert verdict.outcome is Outcome.VERIFIED, verdict.conclusion
    verifier.hold(verdict)
    return verifier


def floor() -> Call:
    """One call of a function that takes and gives back a lock, and does nothing under it."""
    lock = threading.Lock()

    def empty() -> None:
        with lock:
            pass

    return empty


def whole_calls(verifier: NearVerifier) -> dict[str, Call]:
    """What callers call; each must find the verdict, and ask nobody."""
    held = verifier.held_attestation(MODEL)
    assert held is not None
    assert held.outcome is Outcome.VERIFIED
    spki, now = held.attested_tls_spki, verifier.time()
    assert spki is not None
    calls: dict[str, Call] = {
        "attestation_cached(model)": lambda: verifier.attestation_cached(MODEL),
        "attestation_cached(model, now)": lambda: verifier.attestation_cached(MODEL, now=now),
        "held_attestation(model)": lambda: verifier.held_attestation(MODEL),
        "held_attestation(model, tls_spki)": lambda: verifier.held_attestation(MODEL, tls_spki=spki),
    }
    assert all(call() is held for call in calls.values())
    return calls


def parts(verifier: NearVerifier) -> dict[str, Call]:
    """What those calls are made of."""
    cache, key, now = verifier.cache, verifier.cache_key(MODEL), verifier.time()
    return {
        "VerdictCache.get(key)": lambda: cache.get(key),
        "VerdictCache.get(key, now)": lambda: cache.get(key, now=now),
        "cache_key(model)": lambda: verifier.cache_key(MODEL),
        "roots.digest": lambda: verifier.roots.digest,
        "time()": verifier.time,
        "cache": lambda: verifier.cache,
    }


def timed(call: Call) -> float:
    """Seconds of processor time of one call, from many."""
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS


async def timed_async(call: Callable[[], Awaitable[object]]) -> float:
    """The same for a coroutine, inside a running event loop."""
    began = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - began) / CALLS


def main() -> None:
    """Measure all calls, interleaved, so that a busy moment of the machine hits all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    rounds = 20 if parser.parse_args().quick else 100
    verifier = verifier_with_verdict()
    serving, later = AsyncVerifier(verifier), "await attestation_cached(model)"
    wholes = whole_calls(verifier)
    calls = {"empty call under a lock": floor(), **wholes, **parts(verifier)}
    found: dict[str, list[float]] = {name: [] for name in (*calls, later)}
    loop = asyncio.new_event_loop()
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(timed(call))
        found[later].append(loop.run_until_complete(timed_async(lambda: serving.attestation_cached(MODEL))))
    loop.close()
    least = statistics.median(found["empty call under a lock"])
    for name, times in found.items():
        median, best = statistics.median(times), min(times)
        aimed = name in wholes or name == later
        aim = f"; aim of {AIM:g} us {'met' if median * 1e6 < AIM else 'NOT met'}" if aimed else ""
        print(f"{name:38} {median * 1e6:6.2f} us, best {best * 1e6:6.2f} us: {median / least:6.1f} x empty call{aim}")


if __name__ == "__main__":
    main()
