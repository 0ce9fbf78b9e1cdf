"""Caches shared by verifiers that demand different things, and answers of endorsers that were poisoned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from live.provider import AT, MODEL, Provider, live_verifier, policy
from teeverify.cache import VerdictCache
from teeverify.endorsement_cache import EndorsementCache
from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Request, Response
from teeverify.providers.near import NearVerifier
from teeverify.roots import PRODUCTION_ROOTS
from teeverify.saved import RecordedExchange, SavedReport
from teeverify.testing import trust_roots
from teeverify.verdict import Outcome

REJECTED, INCONCLUSIVE, VERIFIED = Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.VERIFIED


def near(provider: Provider, **options: Any) -> NearVerifier:
    settings: dict[str, Any] = {"roots": trust_roots(), "transport": provider, "clock": lambda: AT, **options}
    return NearVerifier(settings.pop("policy", None) or policy(cloud=False), **settings)


@pytest.mark.parametrize(
    "options",
    [
        {"roots": PRODUCTION_ROOTS},
        {"roots": attrs.evolve(trust_roots(), nvidia_root_sha256=b"\1" * 32)},
        {"roots": attrs.evolve(trust_roots(), nras_intermediates=(b"\1" * 32,))},
        {"tls_bound": False},
        {"algorithm": "ecdsa"},
        {"host": "other.near.ai"},
        {"route": "cloud"},
        {"policy": policy(cloud=False, text={"name": "another"})},
        {"policy": policy(cloud=False, text={"nras": "when_present"})},
    ],
    ids=["vendors' roots", "NVIDIA root", "NRAS key", "padded", "ecdsa", "host", "cloud", "policy name", "policy"],
)
def test_a_shared_cache_never_answers_another_question(options: dict[str, Any]) -> None:
    provider = Provider()
    one = near(provider)
    other = near(provider, cache=one.cache, **options)
    verdict = one.attestation_cached(MODEL)
    assert verdict.verified
    assert one.held_attestation(MODEL) is verdict
    assert other.held_attestation(MODEL) is None
    assert other.held_attestation(MODEL, tls_spki=verdict.attested_tls_spki) is None
    assert one.held_attestation(MODEL.upper()) is None
    assert one.held_attestation(MODEL, tls_spki=bytes(32)) is None


def test_a_verdict_cannot_be_put_under_another_question() -> None:
    provider = Provider()
    one = near(provider)
    verdict = one.verify_attestation(MODEL)
    for other in (
        near(provider, roots=PRODUCTION_ROOTS),
        near(provider, policy=policy(cloud=False, text={"name": "b"})),
    ):
        with pytest.raises(ConfigurationError):
            other.hold(verdict)
    with pytest.raises(ConfigurationError):
        one.cache.put(one.cache_key(MODEL, bytes(32)), verdict, now=AT)


@pytest.mark.parametrize("order", [0, 1])
def test_endorsements_shared_by_verifiers_of_other_roots_change_no_verdict(order: int) -> None:
    provider, shared = Provider(), EndorsementCache(wall=lambda: AT)
    verifiers = [near(provider, endorsements=shared), near(provider, endorsements=shared, roots=PRODUCTION_ROOTS)]
    expected = [VERIFIED, REJECTED]
    for index in (order, 1 - order, order, 1 - order):
        verdict = verifiers[index].verify_attestation(MODEL)
        assert verdict.outcome is expected[index]
        assert verdict.test_roots is (index == 0)


def _changed(report: SavedReport, change: Callable[[int, RecordedExchange], RecordedExchange]) -> SavedReport:
    return attrs.evolve(report, exchanges=tuple(change(i, e) for i, e in enumerate(report.exchanges)))


def _with_body(old: bytes, new: bytes) -> Callable[[int, RecordedExchange], RecordedExchange]:
    def change(index: int, exchange: RecordedExchange) -> RecordedExchange:
        del index
        body = exchange.response.body.replace(old, new)
        return attrs.evolve(exchange, response=attrs.evolve(exchange.response, body=body))

    return change


@pytest.mark.parametrize(
    "change",
    [
        _with_body(b'"tcbEvaluationDataNumber":', b'"tcbEvaluationDataNumber":9'),
        _with_body(b'"nextUpdate":"2026', b'"nextUpdate":"2099'),
        _with_body(b'"UpToDate"', b'"Revoked"'),
        _with_body(b'"signature":"', b'"signature":"00'),
        _with_body(b'"kid":"', b'"kid":"x'),
        lambda _, e: attrs.evolve(e, response=attrs.evolve(e.response, headers={})),
    ],
    ids=["number", "far end", "status", "signature", "kid", "headers"],
)
def test_seeding_from_a_hostile_report_decides_nothing(
    change: Callable[[int, RecordedExchange], RecordedExchange],
) -> None:
    report = near(Provider()).verify_attestation(MODEL).evidence
    assert report is not None
    seeded = EndorsementCache(wall=lambda: AT)
    seeded.seed(_changed(report, change))
    provider = Provider()
    verifier = near(provider, endorsements=seeded)
    assert verifier.verify_attestation(MODEL).verified
    assert provider.reports <= 2
    assert verifier.verify_attestation(MODEL).verified
    assert provider.reports <= 3  # what was poisoned is gone


def test_answers_of_other_hosts_never_seed_anything() -> None:
    report = near(Provider()).verify_attestation(MODEL).evidence
    assert report is not None
    for old, new in (("https://", "http://"), (".com/", ".com.evil.example/"), (".com/", ".com:8443/"), ("//", "//u@")):

        def elsewhere(_: int, e: RecordedExchange, old: str = old, new: str = new) -> RecordedExchange:
            return attrs.evolve(e, request=attrs.evolve(e.request, url=e.request.url.replace(old, new, 1)))

        assert EndorsementCache(wall=lambda: AT).seed(_changed(report, elsewhere)) == 0


def test_a_rejection_stands_in_every_place_at_once() -> None:
    provider = Provider()
    verifier = near(provider)
    spki = verifier.verify_attestation(MODEL).attested_tls_spki
    held = verifier.held_attestation(MODEL, tls_spki=spki)
    assert held is not None
    assert held.verified
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    assert verifier.verify_attestation(MODEL).outcome is REJECTED
    for found in (verifier.held_attestation(MODEL), verifier.held_attestation(MODEL, tls_spki=spki)):
        assert found is None or found.outcome is REJECTED
    assert verifier.attestation_cached(MODEL).outcome is REJECTED


def test_no_clock_can_be_set_so_that_a_verdict_outlives_its_end() -> None:
    clocks: dict[str, Any] = {"mono": 0.0, "wall": AT}
    cache = VerdictCache(monotonic=lambda: clocks["mono"], wall=lambda: clocks["wall"])
    verifier = near(Provider(), cache=cache, clock=lambda: clocks["wall"])
    verdict = attrs.evolve(verifier.verify_attestation(MODEL), expires_at=AT + timedelta(seconds=100))
    for mono in (100.0, 101.0, 400.0):
        for wall in (-10_000, -250, 0, 99, 100, 250, 10_000):
            cache.clear()
            clocks |= {"mono": 0.0, "wall": AT}
            verifier.hold(verdict)
            assert verifier.held_attestation(MODEL) is verdict
            clocks |= {"mono": mono, "wall": AT + timedelta(seconds=wall)}
            assert verifier.held_attestation(MODEL) is None
            assert verifier.held_attestation(MODEL, tls_spki=verdict.attested_tls_spki) is None


def test_the_caches_of_a_verifier_are_made_once() -> None:
    verifier = near(Provider())
    start, made = threading.Barrier(16, timeout=20), set[int]()

    def look() -> None:
        start.wait()
        made.update((id(verifier.cache), id(verifier.endorsements)))

    threads = [threading.Thread(target=look) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluated_at": AT - timedelta(days=2)},
        {"evaluated_at": AT + timedelta(days=2)},
        {"expires_at": AT - timedelta(days=2)},
        {"expires_at": AT},
        {"expires_at": None},
    ],
)
def test_verdicts_of_other_times_are_not_held(changes: dict[str, Any]) -> None:
    verifier = near(Provider())
    verdict = verifier.verify_attestation(MODEL)
    verifier.cache.clear()
    verifier.hold(attrs.evolve(verdict, **changes))
    assert verifier.held_attestation(MODEL) is None
    assert verifier.held_attestation(MODEL, tls_spki=verdict.attested_tls_spki) is None
    for name in ("evaluated_at", "expires_at"):
        naive: dict[str, Any] = {name: AT.replace(tzinfo=None)}
        with pytest.raises((ConfigurationError, TypeError)):
            verifier.hold(attrs.evolve(verdict, **naive))


def test_an_outage_neither_makes_nor_keeps_a_pass() -> None:
    provider = Provider()
    verifier = near(provider)

    def down(request: Request) -> Response:
        raise TransportError("down")

    provider.answers["/attestation/report"] = down
    assert verifier.attestation_cached(MODEL).outcome is INCONCLUSIVE
    assert verifier.held_attestation(MODEL, tls_spki=provider.session().front.fingerprint) is None
    held = verifier.held_attestation(MODEL)
    assert held is not None
    assert held.outcome is INCONCLUSIVE


def test_evidence_judged_live_is_judged_alike_offline_by_any_order_of_its_exchanges() -> None:
    verifier = live_verifier(Provider(cloud=True))
    report = verifier.verify_attestation(MODEL).evidence
    assert report is not None
    backwards = attrs.evolve(report, exchanges=report.exchanges[::-1])
    read = SavedReport.from_bytes(backwards.to_bytes())
    assert verifier.verify_saved(read).verified
