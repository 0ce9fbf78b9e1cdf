"""Everything of a saved session but the attested records: what was asked, who answered, what is missing, when."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs
import pytest

from captures import NEAR_CAPTURES
from teeverify.errors import ConfigurationError
from teeverify.providers.near import NearVerifier
from teeverify.saved import RecordedExchange, SavedReport
from teeverify.verdict import AttestationVerdict, Outcome, Status

from .tampering import Session, deciding_ids, put, session_of

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

_NAMES: Final = tuple(NEAR_CAPTURES)


@pytest.fixture(params=_NAMES)
def session(request: pytest.FixtureRequest) -> Session:
    name: str = request.param
    return session_of(name, NEAR_CAPTURES[name])


def _url(session: Session) -> str:
    return session.report.exchanges[session.place].request.url


def _asked(session: Session, old: str, new: str) -> AttestationVerdict:
    assert old in _url(session)
    return session.judge(session.with_request(session.place, url=_url(session).replace(old, new)))


# --- the document around the exchanges -------------------------------------------------------------------------------


def test_another_nonce(session: Session) -> None:
    other = attrs.evolve(session.report, nonce=bytes(31) + b"\1")
    assert deciding_ids(session.judge(other)) >= {"freshness.nonce_bound"}
    in_url = session.with_request(
        session.place, url=_url(session).replace(session.report.nonce.hex(), other.nonce.hex())
    )
    assert deciding_ids(session.judge(in_url)) == {"freshness.nonce_bound"}
    both = attrs.evolve(in_url, nonce=other.nonce)
    verdict = session.judge(both)
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict) >= {"freshness.nonce_bound", "gpu.nonce_bound"}


def test_no_nonce_was_asked_for(session: Session) -> None:
    verdict = _asked(session, f"nonce={session.report.nonce.hex()}", "x=1")
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict) == {"freshness.nonce_bound"}


def test_another_model(session: Session) -> None:
    verdict = session.judge(attrs.evolve(session.report, model="Qwen/Qwen3.5-122B-A10B-Other"))
    assert verdict.outcome is Outcome.REJECTED
    assert "evidence.complete" in deciding_ids(verdict, "model")


def test_the_models_name_is_a_declared_gap(session: Session) -> None:
    """Nothing in a quote names the model: a file that renames it everywhere is told apart by pinned keys only."""
    renamed = put(session.body, (*session.record_paths["model"], "model_name"), "other/model")
    report = attrs.evolve(session.with_body(renamed), model="other/model")
    if session.cloud:
        assert deciding_ids(session.judge(report)) == {"evidence.complete"}
    else:
        verdict = session.judge(report)
        assert verdict.outcome is Outcome.VERIFIED
        assert any("Nothing in a quote names the model" in gap for gap in verdict.gaps)


@pytest.mark.parametrize(
    ("seconds", "refused_by"),
    [
        (-600, "saved.recorded_at"),
        (1800, "gpu.nras_token"),
        (2 * 86400, "saved.recorded_at"),
        (40 * 86400, "tcb.collateral_current"),
        (-40 * 86400, "saved.recorded_at"),
        (-400 * 86400, "tcb.collateral_current"),
        (500 * 86400, "pin.reference_current"),
    ],
)
def test_another_time_of_recording(session: Session, seconds: int, refused_by: str) -> None:
    moved = attrs.evolve(session.report, recorded_at=session.report.recorded_at + timedelta(seconds=seconds))
    verdict = session.judge(moved)
    assert verdict.outcome is Outcome.REJECTED
    assert refused_by in deciding_ids(verdict)


def test_a_time_of_recording_that_is_yet_to_come(session: Session) -> None:
    clock = session.report.recorded_at - timedelta(seconds=301)
    verdict = NearVerifier(session.policy).verify_saved(session.report, now=clock)
    assert deciding_ids(verdict) == {"saved.recorded_at"}


def test_judging_much_later_or_earlier(session: Session) -> None:
    for days in (-60, 60, 3650, -3650):
        at = session.report.recorded_at + timedelta(days=days)
        verdict = NearVerifier(session.policy).verify_saved(session.report, at=at)
        assert verdict.outcome is Outcome.REJECTED
        assert "tcb.collateral_current" in deciding_ids(verdict)


def test_another_provider(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="provider 'chutes'"):
        session.judge(attrs.evolve(session.report, provider="chutes"))


# --- what was asked --------------------------------------------------------------------------------------------------


def test_the_form_is_what_was_asked_for(session: Session) -> None:
    for old, new in (("include_tls_fingerprint=true", "x=1"), ("=true", "=false"), ("=true", "=")):
        verdict = _asked(session, old, new)
        assert verdict.outcome is Outcome.REJECTED
        assert "binding.report_data" in deciding_ids(verdict, "model")


def test_the_algorithm_is_what_was_asked_for(session: Session) -> None:
    assert _asked(session, "=ed25519", "=ecdsa").outcome is Outcome.REJECTED
    unknown = _asked(session, "=ed25519", "=rsa")
    assert unknown.outcome is not Outcome.VERIFIED
    assert "binding.signing_key" in deciding_ids(unknown)
    assert _asked(session, "signing_algo=ed25519", "x=1").outcome is not Outcome.VERIFIED


def test_the_shape_is_what_was_asked_for(session: Session) -> None:
    host = _url(session).split("/")[2]
    other = "qwen35-122b.completions.near.ai" if session.cloud else "cloud-api.near.ai"
    verdict = _asked(session, host, other)
    assert verdict.outcome is Outcome.REJECTED
    assert "evidence.complete" in deciding_ids(verdict)


def test_the_model_that_was_asked_for() -> None:
    session = session_of("near-cloud-2026-06-29", "near-cloud-2026-06-29")
    verdict = _asked(session, "Qwen3.5", "Qwen9")
    assert deciding_ids(verdict) == {"evidence.complete"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://", "http://"),
        ("https://", "https://user@"),
        (".near.ai/", ".near.ai:443/"),
        (".near.ai/", ".near.ai.example/"),
        (".near.ai/", ".near.ai./"),
        (".near.ai/", ".near-ai.example/"),
        ("/v1/", "/v2/"),
        ("/v1/", "/x/../v1/"),
        ("&signing_algo", "&nonce=00&signing_algo"),
        ("ed25519", "ed25519#x"),
        ("https://", "https://[::1/"),
        (".near.ai/", ".near\u2024ai/"),
    ],
)
def test_a_request_to_somewhere_else_is_no_session(session: Session, old: str, new: str) -> None:
    assert old in _url(session)
    report = session.with_request(session.place, url=_url(session).replace(old, new, 1))
    verdict = session.judge(report)
    assert verdict.outcome is not Outcome.VERIFIED
    assert all(check.status is not Status.PASS for check in verdict.checks if check.id.startswith(("tdx", "binding")))


def test_the_method_that_was_used(session: Session) -> None:
    for method in ("POST", "get", "HEAD"):
        assert session.judge(session.with_request(session.place, method=method)).outcome is Outcome.INCONCLUSIVE


def test_two_reports_for_one_nonce(session: Session) -> None:
    """The same answer twice says nothing new; two different ones leave open which was given."""
    own = session.report.exchanges[session.place]
    other = attrs.evolve(own, response=attrs.evolve(own.response, body=own.response.body + b" "))
    reordered = attrs.evolve(own, request=attrs.evolve(own.request, url=own.request.url + "&x=1"))
    twice = attrs.evolve(session.report, exchanges=(*session.report.exchanges, own))
    assert session.judge(twice).outcome is Outcome.VERIFIED
    for second in (other, reordered):
        for exchanges in ((*session.report.exchanges, second), (second, *session.report.exchanges)):
            verdict = session.judge(attrs.evolve(session.report, exchanges=exchanges))
            assert verdict.outcome is Outcome.REJECTED
            assert "evidence.wellformed" in deciding_ids(verdict)


def test_of_two_reports_the_one_for_our_nonce_counts(session: Session) -> None:
    own = session.report.exchanges[session.place]
    url = own.request.url.replace(session.report.nonce.hex(), "00" * 32)
    foreign = attrs.evolve(
        own, request=attrs.evolve(own.request, url=url), response=attrs.evolve(own.response, body=b"")
    )
    report = attrs.evolve(session.report, exchanges=(foreign, *session.report.exchanges))
    assert session.judge(report).outcome is Outcome.VERIFIED


# --- who answered ----------------------------------------------------------------------------------------------------


def test_the_key_of_the_connection(session: Session) -> None:
    spki = session.report.exchanges[session.place].response.peer_spki
    role = "gateway" if session.cloud else "model"
    for other in (b"", bytes(91), (spki or b"\1") + b"\0"):
        verdict = session.judge(session.with_answer(session.place, peer_spki=other))
        (check,) = (c for s in verdict.subjects if s.role == role for c in s.checks if c.id == "channel.tls_spki")
        assert (check.status, check.reason) == (Status.FAIL, "other_key")
    if spki is not None:
        missing = session.judge(session.with_answer(session.place, peer_spki=None))
        assert missing.outcome is Outcome.INCONCLUSIVE
        assert deciding_ids(missing) == {"channel.tls_spki"}


def test_the_key_of_another_hop_is_not_ours() -> None:
    cloud = session_of("near-cloud-2026-06-29", "near-cloud-2026-06-29")
    direct = session_of("near-direct-2026-06-29", "near-direct-2026-06-29")
    of_model = direct.report.exchanges[direct.place].response.peer_spki
    of_gateway = cloud.report.exchanges[cloud.place].response.peer_spki
    assert deciding_ids(cloud.judge(cloud.with_answer(cloud.place, peer_spki=of_model))) == {"channel.tls_spki"}
    assert deciding_ids(direct.judge(direct.with_answer(direct.place, peer_spki=of_gateway))) == {"channel.tls_spki"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x-serving-provider", ("chutes",)),
        ("x-serving-provider", ("near", "non-attested")),
        ("x-serving-provider", ("",)),
        ("x-model-alias-resolved", ("a -> b",)),
    ],
)
def test_headers_that_name_somebody_else(session: Session, name: str, values: tuple[str, ...]) -> None:
    headers = {**session.report.exchanges[session.place].response.headers, name: values}
    verdict = session.judge(session.with_answer(session.place, headers=headers))
    assert verdict.outcome is Outcome.REJECTED
    assert "evidence.complete" in deciding_ids(verdict, "model")


# --- what is missing -------------------------------------------------------------------------------------------------

_MISSING: Final = {
    "/attestation/report": "evidence.complete",
    "tdx/certification/v4/tcb?fmspc=90c06f": "tcb.collateral_current",
    "qe/identity": "tcb.collateral_current",
    "pckcrl": "tcb.collateral_current",
    "IntelSGXRootCA.der": "tcb.collateral_current",
    "jwks.json": "gpu.nras_token",
}


@pytest.mark.parametrize("part", _MISSING)
def test_an_outage_is_not_an_attack(session: Session, part: str) -> None:
    """Missing and failed answers leave the checks unevaluated: INCONCLUSIVE, since nothing contradicts."""
    places = session.places(part)
    keep = tuple(each for i, each in enumerate(session.report.exchanges) if i not in places)
    reports = [attrs.evolve(session.report, exchanges=keep)]
    for status in (100, 201, 204, 206, 301, 302, 401, 404, 429, 500, 503):
        report = session.report
        for place in places:
            report = attrs.evolve(report, exchanges=_with_status(report, place, status))
        reports.append(report)
    for report in reports:
        verdict = session.judge(report)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert _MISSING[part] in deciding_ids(verdict)
        assert not any(check.status is Status.FAIL for check in verdict.checks)


def _with_status(report: SavedReport, place: int, status: int) -> tuple[RecordedExchange, ...]:
    changed = attrs.evolve(
        report.exchanges[place], response=attrs.evolve(report.exchanges[place].response, status=status)
    )
    return (*report.exchanges[:place], changed, *report.exchanges[place + 1 :])


def test_the_gateways_own_tcb_info_is_needed() -> None:
    session = session_of("near-cloud-2026-06-29", "near-cloud-2026-06-29")
    (place,) = session.places("fmspc=b0c06f")
    verdict = session.judge(session.with_exchange(place, None))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert deciding_ids(verdict, "model") == set()
    assert "tcb.collateral_current" in deciding_ids(verdict, "gateway")


def test_no_exchange_at_all(session: Session) -> None:
    verdict = session.judge(attrs.evolve(session.report, exchanges=()))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert all(check.status is not Status.PASS for check in verdict.checks)
