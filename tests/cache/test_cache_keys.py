"""The keys and the bounds of the verdict cache: a verdict answers its own key only, and few are held."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from teeverify.cache import CacheKey, VerdictCache
from teeverify.errors import ConfigurationError
from teeverify.roots import PRODUCTION_ROOTS
from teeverify.verdict import Outcome

from .verdicts import KEY, START, Clocks, cache_at, key, subjects_with_tls, verdict

SPKI = "11" * 32


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def cache(clocks: Clocks) -> VerdictCache:
    return cache_at(clocks)


MEMBERS = {
    "provider": "phala",
    "origin": "https://cloud-api.near.ai",
    "model": "test/other",
    "algorithm": "ecdsa",
    "tls_spki": SPKI,
    "policy_digest": "ac" * 32,
    "roots": "ce" * 32,
}


def test_the_list_of_members_is_complete() -> None:
    assert set(MEMBERS) == {field.name for field in attrs.fields(CacheKey)}


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_of_the_key_matters(cache: VerdictCache, name: str) -> None:
    cache.put(KEY, verdict())
    other = key(**{name: MEMBERS[name]})
    assert cache.get(other) is None
    same: dict[str, Any] = {name: MEMBERS[name]} if name in ("provider", "model", "policy_digest") else {}
    fresh = verdict(**same, subjects=subjects_with_tls(SPKI))
    assert cache.get_or_verify(other, lambda: fresh) is fresh
    assert cache.get(KEY) is not fresh


@pytest.mark.parametrize(
    "changes", [{"provider": "phala"}, {"model": "test/other"}, {"policy_digest": "ac" * 32}], ids=str
)
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_verdict_of_another_key_is_refused(cache: VerdictCache, outcome: Outcome, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        cache.put(KEY, verdict(outcome, **changes))
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        cache.get_or_verify(KEY, lambda: verdict(outcome, **changes))
    assert cache.get(KEY) is None


@pytest.mark.parametrize("roots", ["", PRODUCTION_ROOTS.digest])
def test_test_roots_are_never_held_as_the_vendors(cache: VerdictCache, roots: str) -> None:
    with pytest.raises(ConfigurationError, match="test roots"):
        cache.put(key(roots=roots), verdict(test_roots=True))
    cache.put(KEY, verdict(test_roots=True))
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("attested", [None, "22" * 32])
def test_a_key_that_is_not_attested_is_refused(cache: VerdictCache, attested: str | None) -> None:
    subjects = () if attested is None else subjects_with_tls(attested)
    with pytest.raises(ConfigurationError, match="TLS key"):
        cache.put(key(tls_spki=SPKI), verdict(subjects=subjects))


def test_times_without_zone_are_refused(cache: VerdictCache) -> None:
    naive = START.replace(tzinfo=None)
    for put in (verdict(at=naive, expires_at=START), verdict(expires_at=naive)):
        with pytest.raises(ConfigurationError, match="time zone"):
            cache.put(KEY, put)
    with pytest.raises(ConfigurationError, match="time zone"):
        cache.get(KEY, now=naive)
    with pytest.raises(ConfigurationError, match="time zone"):
        cache.put(KEY, verdict(), now=naive)


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 600.5},
        {"ttl": 0},
        {"ttl": float("nan")},
        {"rejected_ttl": 61},
        {"rejected_ttl": -1},
        {"backoff": 0},
        {"backoff": 31},
        {"max_backoff": 61},
        {"max_entries": 0},
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        VerdictCache(**options)


def test_the_least_recently_used_goes_first(clocks: Clocks) -> None:
    cache = cache_at(clocks, max_entries=3)
    names = ["a", "b", "c"]
    for name in names:
        cache.put(key(model=name), verdict(model=name))
    assert cache.get(key(model="a")) is not None
    cache.put(key(model="d"), verdict(model="d"))
    assert [name for name in [*names, "d"] if cache.get(key(model=name)) is not None] == ["a", "c", "d"]
    assert len(cache) == 3


def test_outages_are_bounded_too(clocks: Clocks) -> None:
    cache = cache_at(clocks, max_entries=3)
    for number in range(10):
        cache.put(key(model=f"{number}"), verdict(Outcome.INCONCLUSIVE, model=f"{number}"))
    assert len(cache) == 3


def test_forget_and_clear(cache: VerdictCache) -> None:
    other = key(model="other")
    cache.put(KEY, verdict())
    cache.put(other, verdict(model="other"))
    cache.forget(KEY)
    cache.forget(KEY)
    assert cache.get(KEY) is None
    assert cache.get(other) is not None
    cache.clear()
    assert cache.get(other) is None
    assert len(cache) == 0
