"""The endorsement cache: what is kept, until when, and that the flow cannot tell where an answer came from."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from teeverify.endorsement_cache import EndorsementCache, StagedEndorsements
from teeverify.errors import TransportError
from teeverify.flow import Answer, Request, run
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.testing import PolicyText, near_policy, trust_roots
from teeverify.transport import Recording, recorded
from teeverify.verdict import Outcome

from .endorsed import (
    JWKS,
    NRAS,
    CountingTransport,
    answer_of,
    asked_flow,
    clocks_at_recording,
    endorsement_cache,
    fetched_again,
    fill,
    report_of,
    requests_of,
    session,
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


def test_the_session_has_what_these_tests_are_about() -> None:
    assert len(INTEL) == len(set(INTEL)) >= 4
    assert {NRAS, session().report_url} == set(NEVER)


def test_what_is_kept_is_not_asked_again(cache: EndorsementCache) -> None:
    fill(cache)
    assert len(cache) == len(INTEL) + 1
    assert sorted(fetched_again(cache)) == sorted(NEVER)


def test_the_flow_gets_the_same_answers_in_its_own_order(cache: EndorsementCache) -> None:
    requests = requests_of(report_of())
    fill(cache)
    for order in (requests, requests[::-1], requests[1::2] + requests[::2]):
        answers = run(cache.serve(asked_flow(order), StagedEndorsements()), CountingTransport(report_of()))
        assert answers == [answer_of(request.url) for request in order]


def test_a_batch_that_is_fully_kept_is_not_yielded(cache: EndorsementCache) -> None:
    fill(cache)
    kept = tuple(request for request in requests_of(report_of()) if request.url in INTEL)
    provider = requests_of(report_of())[:1]
    staged = StagedEndorsements()
    served = cache.serve(asked_flow(kept, provider, kept, ()), staged)
    assert next(served) == provider
    with pytest.raises(StopIteration) as done:
        served.send((answer_of(provider[0].url),))
    assert [answer.body for answer in done.value.value] == [
        *(answer_of(request.url).body for request in (*kept, *provider, *kept))
    ]
    assert staged.used


def test_used_says_whether_anything_was_kept(cache: EndorsementCache) -> None:
    staged = StagedEndorsements()
    run(cache.serve(asked_flow(requests_of(report_of())), staged), CountingTransport(report_of()))
    assert not staged.used
    cache.commit(staged)
    again = StagedEndorsements()
    run(cache.serve(asked_flow(requests_of(report_of())[:1]), again), CountingTransport(report_of()))
    assert not again.used
    run(cache.serve(asked_flow(requests_of(report_of())), again), CountingTransport(report_of()))
    assert again.used


def test_nothing_is_kept_without_commit(cache: EndorsementCache) -> None:
    run(cache.serve(asked_flow(requests_of(report_of())), StagedEndorsements()), CountingTransport(report_of()))
    assert len(cache) == 0
    assert len(fetched_again(cache)) == len(requests_of(report_of()))


def test_only_what_may_be_kept_is_noted(cache: EndorsementCache) -> None:
    """A session's own report, of megabytes, is not."""
    staged, failed = StagedEndorsements(), INTEL[0]
    transport = CountingTransport(report_of(), {failed: spoiled(answer_of(failed), status=500)})
    run(cache.serve(asked_flow(requests_of(report_of())), staged), transport)
    assert set(staged.fresh) == {*INTEL, JWKS} - {failed}


def test_bypass_asks_everything_and_its_answers_take_the_old_ones_place(
    clocks: Clocks, cache: EndorsementCache
) -> None:
    fill(cache)
    clocks.advance(DAY - 10)
    staged, transport = StagedEndorsements(bypass=True), CountingTransport(report_of())
    run(cache.serve(asked_flow(requests_of(report_of())), staged), transport)
    assert len(transport.asked) == len(requests_of(report_of()))
    assert not staged.used
    cache.commit(staged)
    clocks.advance(20)
    assert not set(fetched_again(cache)) & set(INTEL)


def test_an_older_answer_does_not_replace_a_newer_one(clocks: Clocks, cache: EndorsementCache) -> None:
    early = StagedEndorsements()
    run(cache.serve(asked_flow(requests_of(report_of())), early), CountingTransport(report_of()))
    clocks.advance(DAY - 10)
    fill(cache)
    cache.commit(early)
    clocks.advance(20)
    assert not set(fetched_again(cache)) & set(INTEL)


@pytest.mark.parametrize("url", [*INTEL, JWKS])
@pytest.mark.parametrize(
    "bad",
    [
        lambda good: spoiled(good, status=203),
        lambda good: spoiled(good, status=404),
        lambda good: spoiled(good, body=b"<html>log in</html>"),
        lambda good: spoiled(good, body=b""),
        lambda good: spoiled(good, body=good.body[:-20]),
        lambda good: spoiled(good, body=good.body + bytes(1 << 20)),
        lambda good: TransportError("no route"),
    ],
    ids=["203", "404", "captive portal", "empty", "cut", "too long", "outage"],
)
def test_a_bad_answer_is_not_kept(cache: EndorsementCache, url: str, bad: Any) -> None:
    fill(cache, {url: bad(answer_of(url))})
    assert url in fetched_again(cache)
    assert len(cache) == len(INTEL)


@pytest.mark.parametrize("header", ["missing", "garbage", "no certificate"])
def test_collateral_without_a_readable_issuer_chain_is_not_kept(cache: EndorsementCache, header: str) -> None:
    url = next(url for url in INTEL if "/tcb?" in url)
    name = next(name for name in answer_of(url).headers if name.endswith("issuer-chain"))
    kept = {other: values for other, values in answer_of(url).headers.items() if other != name}
    garbage = "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----" if header == "garbage" else "none"
    headers = kept if header == "missing" else {**kept, name: (garbage,)}
    fill(cache, {url: spoiled(answer_of(url), headers=headers)})
    assert url in fetched_again(cache)


@pytest.mark.parametrize(
    "other",
    [
        "http://api.trustedservices.intel.com/tdx/certification/v4/qe/identity",
        "https://api.trustedservices.intel.com.example.org/tdx/certification/v4/qe/identity",
        "https://api.trustedservices.intel.com:8443/tdx/certification/v4/qe/identity",
        "https://x@api.trustedservices.intel.com/tdx/certification/v4/qe/identity",
        "https://pccs.example.org/tdx/certification/v4/qe/identity",
        "https://api.trustedservices.intel.com/tdx/certification/v5/qe/identity",
        "https://nras.attestation.nvidia.com/tdx/certification/v4/qe/identity",
        "https://[bad/tdx/certification/v4/qe/identity",
    ],
)
def test_other_hosts_and_paths_are_not_kept(cache: EndorsementCache, other: str) -> None:
    good = next(url for url in INTEL if url.endswith("/qe/identity"))
    request, staged = Request(method="GET", url=other, limit=1 << 20), StagedEndorsements()
    run(cache.serve(asked_flow((request,)), staged), CountingTransport(report_of(), {other: answer_of(good)}))
    cache.commit(staged)
    assert len(cache) == 0


@pytest.mark.parametrize("changes", [{"method": "POST"}, {"method": "HEAD"}, {"body": b""}], ids=str)
def test_other_requests_of_the_same_url_are_neither_kept_nor_served(
    cache: EndorsementCache, changes: dict[str, Any]
) -> None:
    request = attrs.evolve(next(one for one in requests_of(report_of()) if one.url in INTEL), **changes)
    transport = CountingTransport(report_of(), {request.url: answer_of(request.url)})
    staged = StagedEndorsements()
    run(cache.serve(asked_flow((request,)), staged), transport)
    cache.commit(staged)
    assert len(cache) == 0
    fill(cache)
    run(cache.serve(asked_flow((request,)), StagedEndorsements()), transport)
    assert transport.asked == [request.url] * 2


def test_a_request_with_a_smaller_limit_is_asked_again(cache: EndorsementCache) -> None:
    fill(cache)
    request = attrs.evolve(next(one for one in requests_of(report_of()) if one.url in INTEL), limit=10)
    assert next(cache.serve(asked_flow((request,)), StagedEndorsements())) == (request,)


def test_what_nvidia_says_about_one_gpu_is_never_kept(cache: EndorsementCache) -> None:
    for _ in range(3):
        fill(cache)
        assert NRAS in fetched_again(cache)


def test_kept_answers_verify_as_fetched_ones_do(cache: EndorsementCache) -> None:
    """Headers included: the checks need the issuer chain."""
    cache.seed(report_of())
    recording, transport = Recording(), CountingTransport(report_of())
    run(cache.serve(recorded(asked_flow(requests_of(report_of())), recording), StagedEndorsements()), transport)
    assert set(transport.asked) == set(NEVER)
    again = recording.saved_report(
        provider="near", model=session().model_name, nonce=session().nonce, recorded_at=session().at
    )
    policy = Policy.from_toml(near_policy(session(), PolicyText(name="test", min_count=1)))
    verdict = NearVerifier(policy, roots=trust_roots()).verify_saved(again, now=session().at)
    assert verdict.outcome is Outcome.VERIFIED, verdict.conclusion


def test_threads_share_a_cache(cache: EndorsementCache) -> None:
    start = threading.Barrier(16)

    def work(number: int) -> list[Answer]:
        start.wait(30)
        staged = StagedEndorsements(bypass=number % 4 == 0)
        answers = run(cache.serve(asked_flow(requests_of(report_of())), staged), CountingTransport(report_of()))
        cache.commit(staged)
        if number % 5 == 0:
            cache.clear()
        return answers

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    assert all(result == [answer_of(request.url) for request in requests_of(report_of())] for result in results)


def test_a_flow_that_is_given_up_is_closed(cache: EndorsementCache) -> None:
    closed: list[bool] = []

    def flow() -> Any:
        try:
            yield requests_of(report_of())
        finally:
            closed.append(True)

    given = flow()
    served = cache.serve(given, StagedEndorsements())
    next(served)
    served.close()
    assert closed == [True]


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_driver_that_answers_too_little_or_too_much(cache: EndorsementCache, count: int) -> None:
    served = cache.serve(asked_flow(requests_of(report_of())[:3]), StagedEndorsements())
    next(served)
    with pytest.raises(ValueError, match="zip"):
        served.send((answer_of(INTEL[0]),) * count)
