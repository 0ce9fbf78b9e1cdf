"""Truthful sessions with every front are VERIFIED, saved and live, and a live one costs two round trips."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teeverify.errors import ConfigurationError
from teeverify.flow import Flow, Request, run
from teeverify.policy import Policy
from teeverify.providers.fronts import FrontVerifier
from teeverify.testing import FrontSession, PolicyText, front_policy
from teeverify.testing.front import FRONT_URLS
from teeverify.verdict import AttestationVerdict, Outcome

from .world import AT, FORMS, ROOTS, Front, deciding, judge, kind_of, policy, saved

NAMES = [" ".join([provider, shape, *map(str, options.values())]) for provider, shape, options in FORMS]
ROLES = {"dstack": ["model"], "near": ["gateway", "model", "compose_manager"], "chutes": ["instance", "instance"]}


def roles(provider: str, shape: str) -> list[str]:
    return ["model", "compose_manager"] if provider == "venice" else ROLES[shape]


@pytest.mark.parametrize(("provider", "shape", "options"), FORMS, ids=NAMES)
def test_saved(provider: str, shape: str, options: dict[str, Any]) -> None:
    verdict = judge(FrontSession.build(provider, shape, **options).saved(), policy(provider, shape, **options))
    assert verdict.require().test_roots
    assert [subject.role for subject in verdict.subjects] == roles(provider, shape)
    uses = {key.use for subject in verdict.subjects for key in subject.attested_keys}
    assert uses == ({"e2ee"} if shape == "chutes" else {"signing"})
    assert (verdict.attested_tls_spki is not None) is bool(options.get("tls_bound"))


@pytest.mark.parametrize(("provider", "shape", "options"), FORMS, ids=NAMES)
def test_live_in_two_round_trips_and_again_from_what_it_saved(
    provider: str, shape: str, options: dict[str, Any]
) -> None:
    front = Front(provider, shape, **options)
    verifier = front.verifier(api_key="secret-key")
    batches: list[tuple[Request, ...]] = []
    verdict = run(counted(verifier.attestation_flow(front.session().model_name), batches), front).require()
    (report,), endorsers = batches
    assert report.url.startswith(f"{FRONT_URLS[provider]}?")
    assert report.headers["Authorization"] == "Bearer secret-key"
    assert len(endorsers) == len({(one.url, one.body) for one in endorsers})
    assert not any("secret-key" in str(one.headers) for one in endorsers)
    assert verdict.evidence is not None
    again = verifier.verify_saved(verdict.evidence)
    assert (again.outcome, again.checks) == (verdict.outcome, verdict.checks) or _but_for_the_date(again, verdict)
    assert b"secret-key" not in verdict.evidence.to_bytes()


def counted(flow: Flow[AttestationVerdict], batches: list[tuple[Request, ...]]) -> Flow[AttestationVerdict]:
    try:
        batch = next(flow)
        while True:
            batches.append(tuple(batch))
            batch = flow.send((yield batch))
    except StopIteration as done:
        result: AttestationVerdict = done.value
        return result


def _but_for_the_date(again: AttestationVerdict, live: AttestationVerdict) -> bool:
    """A saved report has a date that is checked, and a connection of the past."""
    dated = ("saved.recorded_at", "channel.tls_spki")
    return [(c.id, c.status) for c in again.checks if c.id not in dated] == [
        (c.id, c.status) for c in live.checks if c.id not in dated
    ]


@pytest.mark.parametrize("provider", ["phala", "nanogpt", "venice", "vllm-proxy"])
def test_every_request_asks_with_a_nonce_of_its_own(provider: str) -> None:
    front = Front(provider)
    verifier = front.verifier()
    name = front.session().model_name
    first, second = (verifier.verify_attestation(name).require() for _ in range(2))
    assert first.nonce != second.nonce
    assert verifier.attestation_cached(name).nonce == second.nonce


def test_what_is_asked_follows_from_the_verifier() -> None:
    rules = policy("vllm-proxy")
    kind = kind_of("vllm-proxy")
    base = "https://my-cvm.example:8443/some/v1"
    for options, end in (
        ({}, "&signing_algo=ecdsa"),
        ({"algorithm": "ed25519"}, "&signing_algo=ed25519"),
        ({"tls_bound": True}, "&signing_algo=ecdsa&version=2"),
    ):
        verifier: FrontVerifier = kind(rules, roots=ROOTS, url=f"{base}/", **options)
        assert (verifier.base_url, verifier.origin) == (base, "https://my-cvm.example:8443")
        ((request,), *_) = (next(verifier.attestation_flow("a/b c", nonce=bytes(range(32)))),)
        assert request.url == f"{base}/attestation/report?model=a%2Fb%20c&nonce={bytes(range(32)).hex()}{end}"
        assert "Authorization" not in request.headers


def test_the_cache_tells_places_and_forms_apart() -> None:
    kind, rules = kind_of("vllm-proxy"), policy("vllm-proxy")
    forms: list[dict[str, Any]] = [
        {"url": "https://a.example/v1"},
        {"url": "https://a.example/other/v1"},
        {"url": "https://b.example/v1"},
        {"url": "https://a.example/v1", "algorithm": "ed25519"},
        {"url": "https://a.example/v1", "tls_bound": True},
    ]
    keys = {kind(rules, roots=ROOTS, **form).cache_key("m") for form in forms}
    assert len(keys) == len(forms)
    assert {key.origin for key in keys} == {"https://a.example", "https://b.example"}


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("nanogpt", {"algorithm": "ed25519"}),
        ("venice", {"algorithm": "ed25519"}),
        ("venice", {"tls_bound": True}),
        ("phala", {"algorithm": "rsa"}),
        ("phala", {"tls_bound": True}),
        ("vllm-proxy", {"url": "http://my-cvm.example/v1"}),
        ("vllm-proxy", {"url": "https://user@my-cvm.example/v1"}),
        ("vllm-proxy", {"url": "https://my-cvm.example:99999/v1"}),
        ("vllm-proxy", {"url": "https://my-cvm.example:0/v1"}),
        ("vllm-proxy", {"url": "https://my-cvm.example/v1?x=1"}),
        ("vllm-proxy", {"url": "https://my-cvm.example/v1#x"}),
        ("vllm-proxy", {"url": "https://my-cvm..example/v1"}),
        ("vllm-proxy", {"url": "https:///v1"}),
        ("vllm-proxy", {"url": ""}),
    ],
)
def test_arguments_that_no_front_can_take(provider: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        kind_of(provider)(policy(provider), roots=ROOTS, **options)


def test_a_proxy_without_url_judges_saved_reports_only() -> None:
    verifier = kind_of("vllm-proxy")(policy("vllm-proxy"), roots=ROOTS, clock=lambda: AT)
    assert verifier.verify_saved(saved(FrontSession.build("vllm-proxy").saved())).verified
    with pytest.raises(ConfigurationError, match="pass url"):
        verifier.verify_attestation("m")
    with pytest.raises(ConfigurationError, match="pass url"):
        _ = verifier.base_url


def test_a_padded_report_says_that_nothing_binds_the_connection() -> None:
    session = FrontSession.build("vllm-proxy")
    verdict = judge(session.saved(), policy("vllm-proxy"))
    assert verdict.outcome is Outcome.VERIFIED
    assert "channel.tls_spki" in verdict.conclusion
    assert "nothing shows where the connection ends" in verdict.trust_boundary
    text = front_policy(session, text=PolicyText(name="x", min_count=1, waive=[("saved.recorded_at", "model")]))
    strict = judge(session.saved(), Policy.from_toml(text))
    assert (strict.outcome, deciding(strict)) == (Outcome.INCONCLUSIVE, {"channel.tls_spki"})


def test_the_event_log_may_be_whole_too() -> None:
    session = FrontSession.build("nanogpt")
    session.stripped = False
    assert judge(session.saved(), policy("nanogpt")).verified
    assert all(row["digest"] for row in json.loads(session.report()["event_log"]))
    session.stripped = True
    rows = json.loads(session.report()["event_log"])
    assert {bool(row["digest"]) for row in rows if row["imr"] == 3} == {False}


@pytest.mark.parametrize("what", ["intel", "nvidia", "front"])
def test_an_outage_is_not_a_pass(what: str) -> None:
    part = {"intel": "qe/identity", "nvidia": "jwks", "front": "/attestation"}[what]
    document = FrontSession.build("phala").saved()
    document["exchanges"] = [each for each in document["exchanges"] if part not in each["request"]["url"]]
    assert judge(document, policy("phala")).outcome is Outcome.INCONCLUSIVE
