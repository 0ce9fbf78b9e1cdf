"""Live attestation over a provider without sockets: routes, round trips, outages, evidence, caches."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Flow, Request, Response, run
from teeverify.policy import Policy
from teeverify.protocol import ConfidentialVerifier
from teeverify.providers.near import NearVerifier
from teeverify.registry import VerifierRegistry, register_verifier, verifier_for
from teeverify.saved import SavedReport
from teeverify.testing import CLOUD_HOST, DIRECT_HOST, PolicyText, near_policy, trust_roots
from teeverify.transport import MockTransport, RecordingTransport
from teeverify.verdict import AttestationVerdict, Outcome

from .provider import AT, MODEL, Provider, live_verifier, policy

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE


def deciding(verdict: AttestationVerdict) -> set[str]:
    return {check.id for check in verdict.checks if check.decides is verdict.outcome}


def batches(flow: Flow[AttestationVerdict], provider: Provider) -> tuple[list[int], AttestationVerdict]:
    """The sizes of the batches: their number is the number of sequential round trips."""
    sizes: list[int] = []
    try:
        batch = next(flow)
        while True:
            sizes.append(len(batch))
            batch = flow.send(tuple(provider.send(request) for request in batch))
    except StopIteration as done:
        verdict: AttestationVerdict = done.value
        return sizes, verdict


@pytest.mark.parametrize("cloud", [False, True], ids=["direct", "cloud"])
@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa"])
def test_a_truthful_provider_is_verified(cloud: bool, algorithm: str) -> None:
    provider = Provider(cloud=cloud, algorithm=algorithm)
    verdict = live_verifier(provider).verify_attestation(MODEL).require()
    assert verdict.evaluated_at == AT
    assert verdict.attested_tls_spki == provider.session().front.fingerprint
    assert {key.algorithm for s in verdict.subjects for key in s.attested_keys if key.use == "signing"} == {algorithm}
    (report,) = provider.urls("/attestation/report")
    assert f"signing_algo={algorithm}" in report
    assert "include_tls_fingerprint=true" in report
    assert report.startswith(f"https://{CLOUD_HOST if cloud else DIRECT_HOST}/")
    assert f"nonce={verdict.nonce}" in report


def test_each_challenge_is_fresh() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    assert verifier.verify_attestation(MODEL).nonce != verifier.verify_attestation(MODEL).nonce
    nonce = bytes(range(32))
    assert verifier.verify_attestation(MODEL, nonce=nonce).nonce == nonce.hex()


@pytest.mark.parametrize(("cloud", "trips"), [(False, 3), (True, 2)], ids=["direct", "cloud"])
def test_a_cold_verdict_takes_at_most_three_round_trips(cloud: bool, trips: int) -> None:
    provider = Provider(cloud=cloud)
    sizes, verdict = batches(live_verifier(provider).attestation_flow(MODEL), provider)
    assert verdict.verified
    assert len(sizes) == trips
    assert sizes[:-1] == [1] * (trips - 1)
    assert sizes[-1] >= 6  # collateral, NVIDIA's statement and keys, all together


def test_a_warm_one_asks_for_the_report_and_nvidias_statement_only() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    verifier.verify_attestation(MODEL).require()
    sizes, verdict = batches(verifier.attestation_flow(MODEL), provider)
    assert verdict.verified
    assert sizes == [1, 1]
    assert len(provider.urls("intel.com")) == 4


def test_the_requests_of_a_batch_are_made_side_by_side() -> None:
    provider = Provider()
    together = threading.Barrier(4, timeout=5)

    def wait(request: Request) -> None:
        together.wait()

    provider.answers["intel.com"] = wait
    assert live_verifier(provider).verify_attestation(MODEL).verified


@pytest.mark.parametrize("cloud", [False, True], ids=["direct", "cloud"])
def test_the_evidence_of_a_verdict_is_judged_offline(cloud: bool) -> None:
    provider = Provider(cloud=cloud)
    verifier = live_verifier(provider, api_key="secret-key")
    for attempt in range(2):  # the second one takes Intel's answers from the cache, and still saves them
        verdict = verifier.verify_attestation(MODEL).require()
        assert verdict.evidence is not None
        data = verdict.evidence.to_bytes()
        assert b"secret-key" not in data
        again = live_verifier(Provider(cloud=cloud)).verify_saved(SavedReport.from_bytes(data))
        assert again.require().nonce == verdict.nonce, attempt
        assert again.expires_at == verdict.expires_at


def test_rejected_and_inconclusive_verdicts_carry_their_evidence_too() -> None:
    provider = Provider()
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert verdict.outcome is REJECTED
    assert "freshness.nonce_bound" in deciding(verdict)
    assert verdict.attested_tls_spki is None
    assert verdict.evidence is not None
    assert live_verifier(provider).verify_saved(verdict.evidence).outcome is REJECTED


def test_the_api_key_goes_to_the_provider_only() -> None:
    provider = Provider()
    verifier = live_verifier(provider, api_key="secret-key")
    verifier.verify_exchange(provider.chat()).require()
    keyed = {request.url.split("/")[2] for request in provider.asked if "secret-key" in str(request.headers.values())}
    assert keyed == {DIRECT_HOST}
    assert "secret-key" not in repr(provider.asked) + repr(verifier)


OUTAGES: list[Any] = [
    TransportError("connection refused"),
    Response(status=500, headers={}, body=b"{}"),
    Response(status=429, headers={}, body=b"{}"),
    Response(status=401, headers={}, body=b"{}"),
    Response(status=302, headers={"location": ("https://evil.example/",)}, body=b""),
]


@pytest.mark.parametrize("answer", OUTAGES, ids=["refused", "500", "429", "401", "302"])
@pytest.mark.parametrize("part", ["/endpoints", "/attestation/report", "/tcb?", "/qe/identity", "pckcrl", "RootCA"])
def test_an_outage_is_inconclusive_and_never_a_pass(part: str, answer: Any) -> None:
    provider = Provider()
    provider.answers[part] = answer
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert verdict.outcome is INCONCLUSIVE
    provider.answers.clear()
    assert live_verifier(provider).verify_attestation(MODEL).verified


@pytest.mark.parametrize("answer", OUTAGES[:3], ids=["refused", "500", "429"])
@pytest.mark.parametrize("part", ["/v3/attest/gpu", "jwks.json"])
def test_an_outage_of_nvidia_is_inconclusive_where_it_is_required(part: str, answer: Any) -> None:
    provider = Provider()
    provider.answers[part] = answer
    assert live_verifier(provider).verify_attestation(MODEL).outcome is INCONCLUSIVE


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"[]", b"{", b"null", b"{}"])
def test_a_body_that_is_no_report_is_never_a_pass(body: bytes) -> None:
    provider = Provider()
    provider.answers["/attestation/report"] = Response(status=200, headers={}, body=body)
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert verdict.outcome is not VERIFIED


def test_a_report_that_is_too_long_is_not_read() -> None:
    provider = Provider()
    provider.answers["/attestation/report"] = Response(status=200, headers={}, body=b" " * (9 << 20))
    assert live_verifier(provider).verify_attestation(MODEL).outcome is INCONCLUSIVE


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_is_no_pass(hours: int) -> None:
    provider = Provider()
    verifier = live_verifier(provider, clock=lambda: AT + timedelta(hours=hours))
    assert verifier.verify_attestation(MODEL).outcome is not VERIFIED


def test_another_tls_key_is_rejected() -> None:
    provider = Provider()
    real = provider._answer

    def relayed(request: Request) -> Response:
        answer = real(request)
        return Response(status=answer.status, headers=answer.headers, body=answer.body, peer_spki=b"other key")

    provider.answers["/attestation/report"] = relayed
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert (verdict.outcome, deciding(verdict)) == (REJECTED, {"channel.tls_spki"})


def test_a_transport_that_does_not_tell_the_key_is_inconclusive() -> None:
    provider = Provider()

    def keyless(request: Request) -> Response:
        answer = provider.send(request)
        return Response(status=answer.status, headers=answer.headers, body=answer.body)

    verifier = NearVerifier(
        policy(cloud=False), roots=trust_roots(), transport=MockTransport(keyless), clock=lambda: AT
    )
    verdict = verifier.verify_attestation(MODEL)
    assert (verdict.outcome, deciding(verdict)) == (INCONCLUSIVE, {"channel.tls_spki"})


def test_a_recording_transport_yields_a_saved_report() -> None:
    provider = Provider()
    recording = RecordingTransport(provider)
    verifier = NearVerifier(policy(cloud=False), roots=trust_roots(), transport=recording, clock=lambda: AT)
    verdict = verifier.verify_attestation(MODEL).require()
    report = recording.saved_report(
        provider="near", model=MODEL, nonce=bytes.fromhex(verdict.nonce), recorded_at=verdict.evaluated_at
    )
    assert verifier.verify_saved(SavedReport.from_bytes(report.to_bytes())).verified


def test_the_padded_form_is_judged_as_asked() -> None:
    waived = [("channel.tls_spki", "model"), ("binding.tls_spki", "model")]
    provider = Provider()
    session = provider.session()
    text = near_policy(session, PolicyText(name="padded", min_count=1, waive=waived))
    provider.spoil = lambda made: setattr(made, "attested_tls_bound", False)
    padded = live_verifier(provider, policy=Policy.from_toml(text), tls_bound=False)
    provider.answers["/attestation/report"] = _padded(provider)
    verdict = padded.verify_attestation(MODEL)
    assert verdict.verified
    assert verdict.attested_tls_spki is None
    bound = live_verifier(provider)  # asked for the bound form, the same answer is refused
    assert bound.verify_attestation(MODEL).outcome is REJECTED


def _padded(provider: Provider) -> Any:
    def answer(request: Request) -> Response | None:
        made = provider.session(bytes.fromhex(request.url.partition("nonce=")[2][:64]))
        made.attested_tls_bound = made.tls_bound = False
        report = SavedReport.from_bytes(_dumps(made.saved()))
        provider._replay = __import__("teeverify").ReplayTransport(report)
        return report.exchanges[0].response

    return answer


def _dumps(document: Any) -> bytes:
    import json

    return json.dumps(document).encode()


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", [b"", b"x" * 31, b"x" * 33, bytes(32), "00" * 32, bytearray(32)])
def test_a_nonce_that_is_none_is_a_configuration_error(nonce: Any) -> None:
    provider = Provider()
    with pytest.raises(ConfigurationError, match="nonce"):
        live_verifier(provider).verify_attestation(MODEL, nonce=nonce)
    assert not provider.asked


@pytest.mark.parametrize("model", ["", "a\nb", "m" * 600, None])
def test_a_model_that_is_none_is_a_configuration_error(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="model"):
        live_verifier(Provider()).verify_attestation(model)


def test_a_naive_time_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        live_verifier(Provider()).verify_attestation(MODEL, now=datetime(2026, 6, 15))


@pytest.mark.parametrize(
    "options",
    [
        {"route": "other"},
        {"algorithm": "rsa"},
        {"host": "evil.example"},
        {"host": "near.ai.evil.example"},
        {"host": "a.near.ai:444"},
        {"host": "user@a.near.ai"},
        {"host": "xn--a.near.ai"},
        {"host": CLOUD_HOST},
        {"route": "cloud", "host": "a.near.ai"},
        {"api_key": "a\nb"},
        {"api_key": ""},
        {"api_key": "ключ"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        NearVerifier(policy(cloud=False), **options)


# --- directory and backends -------------------------------------------------------------------------------------------


def _directory(provider: Provider, *entries: Any) -> None:
    provider.answers["/endpoints"] = Response(status=200, headers={}, body=_dumps({"endpoints": list(entries)}))


@pytest.mark.parametrize(
    "domain",
    [
        "evil.example",
        "near.ai.evil.example",
        "evilnear.ai",
        "https://a.near.ai",
        "a.near.ai/x",
        "a.near.ai:8443",
        "u@a.near.ai",
        "xn--e1afmkfd.near.ai",
        "a..near.ai",
        "A.near.ai",
        "a.near.ai.",
        CLOUD_HOST,
        "",
        None,
        5,
    ],
)
def test_a_directory_entry_outside_near_is_never_asked(domain: Any) -> None:
    provider = Provider()
    _directory(provider, {"domain": domain, "models": [MODEL]})
    verdict = live_verifier(provider, api_key="secret").verify_attestation(MODEL)
    assert verdict.outcome is INCONCLUSIVE
    assert [request.url for request in provider.asked] == ["https://completions.near.ai/endpoints"]
    assert "Authorization" not in provider.asked[0].headers


def test_a_model_that_two_hosts_claim_is_ambiguous() -> None:
    provider = Provider()
    _directory(provider, {"domain": DIRECT_HOST, "models": [MODEL]}, {"domain": "b.near.ai", "models": [MODEL]})
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert verdict.outcome is INCONCLUSIVE
    assert "several hosts" in verdict.checks[0].summary
    _directory(provider, {"domain": DIRECT_HOST, "models": [MODEL]}, {"domain": DIRECT_HOST, "models": [MODEL]})
    assert live_verifier(provider).verify_attestation(MODEL).verified


def test_the_directory_is_kept_for_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    clock = [0.0]
    monkeypatch.setattr(verifier._directory, "_monotonic", lambda: clock[0])
    for seconds, asked in ((0.0, 1), (299.0, 1), (301.0, 2)):
        clock[0] = seconds
        assert verifier.verify_attestation(MODEL).verified
        assert len(provider.urls("/endpoints")) == asked


def test_every_backend_can_be_judged_for_itself() -> None:
    provider = Provider()
    provider.answers["/backends/count"] = Response(status=200, headers={}, body=b'{"healthy":2,"total":2}')
    verifier = live_verifier(provider)
    label, _, base = DIRECT_HOST.partition(".")
    hosts = verifier.backends(MODEL)
    assert hosts == (f"{label}-i0.{base}", f"{label}-i1.{base}")
    provider.answers["/attestation/report"] = lambda request: provider._answer(
        Request(method="GET", url=request.url.replace(hosts[0], DIRECT_HOST), limit=request.limit)
    )
    single = verifier.at_host(hosts[0])
    assert single.origin == f"https://{hosts[0]}"
    assert single.verify_attestation(MODEL).outcome is not None
    assert any(url.startswith(f"https://{hosts[0]}/v1/attestation/report") for url in provider.urls())


@pytest.mark.parametrize(
    "body", [b'{"total":0}', b'{"total":-1}', b'{"total":true}', b'{"total":1000}', b'{"total":"2"}', b"[]", b"<"]
)
def test_a_count_of_backends_that_is_none(body: bytes) -> None:
    provider = Provider()
    provider.answers["/backends/count"] = Response(status=200, headers={}, body=body)
    assert live_verifier(provider).backends(MODEL) == ()


# --- caches -----------------------------------------------------------------------------------------------------------


def test_a_verified_verdict_is_held() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    assert verifier.held_attestation(MODEL, now=AT) is None
    verdict = verifier.attestation_cached(MODEL, now=AT)
    assert verifier.attestation_cached(MODEL, now=AT) is verdict
    assert provider.reports == 1
    key = provider.session().front.fingerprint
    assert verifier.held_attestation(MODEL, tls_spki=key, now=AT) is verdict
    assert verifier.held_attestation(MODEL, tls_spki=bytes(32), now=AT) is None
    assert verifier.held_attestation("other", now=AT) is None


def test_what_is_held_is_held_for_one_policy() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    verifier.attestation_cached(MODEL, now=AT)
    other = live_verifier(provider, text={"min_eval_number": 18}, cache=verifier.cache)
    assert other.held_attestation(MODEL, now=AT) is None


def test_an_outage_does_not_become_a_stampede_and_is_not_held() -> None:
    provider = Provider()
    provider.answers["/attestation/report"] = TransportError("down")
    verifier = live_verifier(provider)
    first = verifier.attestation_cached(MODEL, now=AT)
    assert first.outcome is INCONCLUSIVE
    assert verifier.attestation_cached(MODEL, now=AT) is first
    provider.answers.clear()
    assert verifier.verify_attestation(MODEL, now=AT).verified
    assert verifier.attestation_cached(MODEL, now=AT).verified


def test_a_stale_endorsement_never_decides_against_the_evidence() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    verifier.verify_attestation(MODEL).require()
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    before = len(provider.urls("intel.com"))
    assert verifier.verify_attestation(MODEL).outcome is REJECTED
    assert len(provider.urls("intel.com")) == before + 4  # asked once more before the word was spoken


def test_a_saved_report_can_seed_the_endorsements() -> None:
    provider = Provider()
    report = live_verifier(provider).verify_attestation(MODEL).require().evidence
    assert report is not None
    fresh = live_verifier(Provider())
    assert fresh.endorsements.seed(report) >= 4
    offline = fresh.transport
    assert isinstance(offline, Provider)
    offline.answers["intel.com"] = TransportError("no way to Intel")
    assert fresh.verify_attestation(MODEL).verified


# --- registry and protocol --------------------------------------------------------------------------------------------


def test_verifiers_have_the_protocol() -> None:
    assert isinstance(live_verifier(Provider()), ConfidentialVerifier)


def test_an_own_provider_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teeverify.registry._OWN", {})

    class Mine(NearVerifier):
        provider = "mine"

    register_verifier(Mine)
    assert verifier_for("mine") is Mine
    with pytest.raises(ConfigurationError, match="registered already"):
        register_verifier(Mine)
    with pytest.raises(ConfigurationError, match="registered already"):
        register_verifier(NearVerifier)
    with pytest.raises(ConfigurationError, match="no verifier"):
        VerifierRegistry({}).get("near")


def test_own_io_drives_the_flow() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    assert run(verifier.attestation_flow(MODEL), provider).verified
