"""The endorsement cache: how long answers are kept, how many, and those that come from a saved report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from teeverify.endorsement_cache import EndorsementCache, StagedEndorsements
from teeverify.errors import ConfigurationError
from teeverify.flow import Request, Response, run
from teeverify.limits import CLOCK_SKEW
from teeverify.saved import RecordedExchange, SavedReport

from .endorsed import (
    JWKS,
    CountingTransport,
    answer_of,
    asked_flow,
    clocks_at_recording,
    endorsement_cache,
    fetched_again,
    fill,
    report_of,
    requests_of,
    spoiled,
    urls,
)
from .verdicts import Clocks

DAY = 86400.0
INTEL = [url for url in urls(kept=True) if url != JWKS]
NEVER = urls(kept=False)


@pytest.fixture
def clocks() -> Clocks:
    return clocks_at_recording()


@pytest.fixture
def cache(clocks: Clocks) -> EndorsementCache:
    return endorsement_cache(clocks)


def test_intel_s_answers_are_kept_for_a_day_and_the_key_set_for_an_hour(
    clocks: Clocks, cache: EndorsementCache
) -> None:
    fill(cache)
    clocks.advance(3599)
    assert set(fetched_again(cache)) == set(NEVER)
    clocks.advance(1)
    assert set(fetched_again(cache)) == {*NEVER, JWKS}
    clocks.advance(DAY - 3601)
    assert set(fetched_again(cache)) == {*NEVER, JWKS}
    clocks.advance(1)
    assert set(fetched_again(cache)) == {*NEVER, JWKS, *INTEL}


def test_without_a_longest_age_next_update_decides(clocks: Clocks) -> None:
    cache = endorsement_cache(clocks, max_age=None, jwks_max_age=10 * DAY)
    fill(cache)
    month = timedelta(days=30) - timedelta(minutes=30)  # issued half an hour before the session
    keys = timedelta(days=2) - timedelta(hours=12)  # the signing keys are of that day's midnight
    root = next(url for url in INTEL if url.endswith("IntelSGXRootCA.der"))
    clocks.advance(keys.total_seconds() - 1)
    assert set(fetched_again(cache)) == set(NEVER)
    clocks.advance(1)
    assert set(fetched_again(cache)) == {*NEVER, JWKS}
    clocks.advance((month - keys).total_seconds() - 1)
    assert set(fetched_again(cache)) == {*NEVER, JWKS}
    clocks.advance(1)
    assert set(fetched_again(cache)) == {*NEVER, JWKS, *INTEL} - {root}


def test_the_dates_are_held_to_the_wall_clock(clocks: Clocks) -> None:
    cache = endorsement_cache(clocks, max_age=None, jwks_max_age=10 * DAY)
    clocks.advance(36 * 3600 - CLOCK_SKEW)
    fill(cache)
    clocks.jump(CLOCK_SKEW - 1)
    assert JWKS not in fetched_again(cache)
    clocks.jump(1)
    assert JWKS in fetched_again(cache)


def test_a_shorter_age_holds_for_the_key_set_too(clocks: Clocks) -> None:
    cache = endorsement_cache(clocks, max_age=60)
    fill(cache)
    clocks.advance(60)
    assert JWKS in fetched_again(cache)


@pytest.mark.parametrize("jump", [-CLOCK_SKEW - 1, CLOCK_SKEW + 1])
def test_clock_jumps(clocks: Clocks, cache: EndorsementCache, jump: int) -> None:
    fill(cache)
    clocks.jump(jump)
    assert len(fetched_again(cache)) == len(requests_of(report_of()))


def test_the_least_recently_used_goes_first(clocks: Clocks) -> None:
    cache = endorsement_cache(clocks, max_entries=len(INTEL))
    fill(cache)
    assert len(cache) == len(INTEL)
    assert len(set(fetched_again(cache)) & {*INTEL, JWKS}) == 1


def test_to_be_served_is_a_use(clocks: Clocks) -> None:
    cache = endorsement_cache(clocks, max_entries=len(INTEL) + 1)
    fill(cache)
    oldest = next(request for request in requests_of(report_of()) if request.url == INTEL[0])
    run(cache.serve(asked_flow((oldest,)), StagedEndorsements()), CountingTransport(report_of()))
    url = "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=000000000000"
    other, staged = Request(method="GET", url=url, limit=1 << 20), StagedEndorsements()
    answer = answer_of(next(url for url in INTEL if "/tcb?" in url))
    run(cache.serve(asked_flow((other,)), staged), CountingTransport(report_of(), {url: answer}))
    cache.commit(staged)
    assert set(fetched_again(cache)) == {*NEVER, INTEL[1]}


def test_clear(cache: EndorsementCache) -> None:
    fill(cache)
    cache.clear()
    assert len(cache) == 0
    assert len(fetched_again(cache)) == len(requests_of(report_of()))


@pytest.mark.parametrize("options", [{"max_age": 0}, {"jwks_max_age": -1}, {"max_entries": 0}], ids=str)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        EndorsementCache(**options)


def test_a_wall_clock_without_zone_is_refused(clocks: Clocks) -> None:
    clocks.now = clocks.now.replace(tzinfo=None)
    with pytest.raises(ConfigurationError, match="time zone"):
        fill(endorsement_cache(clocks))


def test_seeding_from_a_saved_report(cache: EndorsementCache) -> None:
    assert cache.seed(report_of()) == len(INTEL) + 1
    assert set(fetched_again(cache)) == set(NEVER)
    assert cache.seed(report_of()) == 0


def test_a_seed_is_judged_by_its_dates(clocks: Clocks, cache: EndorsementCache) -> None:
    clocks.advance(40 * DAY)
    assert cache.seed(report_of()) == 1  # the root's list holds for a year
    assert len(cache) == 1


def test_a_seed_does_not_take_the_place_of_what_stands(cache: EndorsementCache) -> None:
    url = next(url for url in INTEL if url.endswith("/qe/identity"))
    other = spoiled(answer_of(url), peer_spki=b"of the seed")
    fill(cache)
    assert cache.seed(_report_with({url: other})) == 0
    (answer,) = run(cache.serve(asked_flow((_request(url),)), StagedEndorsements()), CountingTransport(report_of()))
    assert answer == answer_of(url)


def test_garbage_is_no_seed(cache: EndorsementCache) -> None:
    bad = {url: spoiled(answer_of(url), body=b"garbage") for url in (*INTEL, JWKS)}
    assert cache.seed(_report_with(bad)) == 0
    assert len(cache) == 0


def _request(url: str) -> Request:
    return next(request for request in requests_of(report_of()) if request.url == url)


def _report_with(changes: dict[str, Response]) -> SavedReport:
    exchanges = tuple(
        RecordedExchange(request=one.request, response=changes.get(one.request.url, one.response))
        for one in report_of().exchanges
    )
    return attrs.evolve(report_of(), exchanges=exchanges)
