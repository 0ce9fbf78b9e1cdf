"""What was asked is read from the recorded URL, and a URL that two readers could read differently is no request."""

from __future__ import annotations

import copy
from typing import Any, Final

import attrs
import pytest

from teeverify.errors import ConfigurationError, FormatError
from teeverify.providers.nanogpt import NanoGptVerifier
from teeverify.providers.phala import PhalaVerifier
from teeverify.providers.vllm_proxy import VllmProxyVerifier
from teeverify.testing import FrontSession
from teeverify.verdict import Outcome

from .world import (
    AT,
    NANOGPT,
    REPORT,
    ROOTS,
    VENICE,
    capture,
    deciding,
    judge,
    judge_capture,
    kind_of,
    policy,
    renamed,
    saved,
)

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

GAMES: Final = {
    "another host": ("https://nano-gpt.com/", "https://nano-gpt.com.example/"),
    "a subdomain": ("https://nano-gpt.com/", "https://x.nano-gpt.com/"),
    "upper case": ("https://nano-gpt.com/", "https://NANO-GPT.com/"),
    "http": ("https://", "http://"),
    "another scheme": ("https://", "ftp://"),
    "scheme in upper case": ("https://", "HTTPS://"),
    "a user": ("https://nano-gpt.com", "https://nano-gpt.com@evil.example"),
    "a user before": ("https://", "https://user:pass@"),
    "a port": ("nano-gpt.com/", "nano-gpt.com:444/"),
    "the usual port": ("nano-gpt.com/", "nano-gpt.com:443/"),
    "a dot at its end": ("nano-gpt.com/", "nano-gpt.com./"),
    "another path": ("/tee/attestation", "/tee/attestations"),
    "a slash more": ("/tee/attestation", "/tee/attestation/"),
    "a path before": ("/api/v1", "/evil/api/v1"),
    "dots in the path": ("/api/v1", "/api/x/../v1"),
    "a path of RedPill": ("/tee/attestation", "/attestation/report"),
    "a fragment": ("&nonce=", "#&nonce="),
    "a fragment at the end": ("f39a", "f39a#"),
    "no query": ("?", "/"),
    "the model twice": ("?model=", "?model=TEE%2Fother&model="),
    "the nonce twice": ("&nonce=", "&nonce=00&nonce="),
    "a name without value": ("&nonce=", "&x&nonce="),
    "many parameters": ("&nonce=", f"{'&a=1' * 20}&nonce="),
    "an algorithm that cannot be asked for": ("&nonce=", "&signing_algo=ed25519&nonce="),
    "no model": ("model=", "modell="),
    "an empty model": ("model=TEE%2Fgemma-3-27b-it", "model="),
    "another model": ("gemma", "gamma"),
    "no nonce": ("&nonce=", "&nonc="),
    "an upper-case nonce": ("9a796732359e9324", "9A796732359E9324"),
    "a nonce with 0x": ("&nonce=", "&nonce=0x"),
    "a short nonce": ("f39a", "f3"),
    "another nonce": ("9a79", "9a78"),
    "a line feed": ("&nonce=", "&\nnonce="),
    "a space": ("&nonce=", "& nonce="),
    "a letter beyond ASCII": ("&nonce=", "&é=1&nonce="),
}  # fmt: skip


@pytest.mark.parametrize("name", GAMES)
def test_a_url_that_was_tampered_with(name: str) -> None:
    old, new = GAMES[name]
    verdict = judge_capture(renamed(capture(NANOGPT), old, new), NANOGPT)
    assert verdict.outcome is not Outcome.VERIFIED
    assert not any(subject.attested_keys for subject in verdict.subjects)


PROXY_GAMES: Final = {
    "http": ("https://", "http://"),
    "a user": ("https://", "https://user@"),
    "an empty user": ("https://", "https://@"),
    "a port of five nines": (".invalid/", ".invalid:99999/"),
    "no port behind the colon": (".invalid/", ".invalid:/"),
    "a host of dots": ("vllm-proxy.test.invalid", "vllm..test"),
    "no host": ("vllm-proxy.test.invalid", ""),
    "an address in brackets": ("vllm-proxy.test.invalid", "[::1]"),
    "a backslash": ("invalid/", "invalid\\@evil/"),
    "a percent sign in the path": ("/v1", "/v%31"),
    "parameters of the path": ("/report", "/report;x"),
    "a fragment": ("&nonce=", "#&nonce="),
    "the version twice": ("&version=2", "&version=2&version=1"),
    "the algorithm twice": ("&signing_algo=ecdsa", "&signing_algo=ecdsa&signing_algo=ecdsa"),
    "an unknown algorithm": ("ecdsa", "rsa"),
    "the other algorithm": ("ecdsa", "ed25519"),
    "version 1": ("version=2", "version=1"),
    "version 02": ("version=2", "version=02"),
    "no version": ("&version=2", ""),
}


def _proxy(old: str = "", new: str = "") -> dict[str, Any]:
    document = copy.deepcopy(FrontSession.build("vllm-proxy", tls_bound=True).saved())
    for each in document["exchanges"]:
        if REPORT in each["request"]["url"]:
            each["request"]["url"] = each["request"]["url"].replace(old, new)
    return document


@pytest.mark.parametrize("name", PROXY_GAMES)
def test_a_url_of_a_proxy_that_was_tampered_with(name: str) -> None:
    verdict = judge(_proxy(*PROXY_GAMES[name]), policy("vllm-proxy", tls_bound=True))
    assert verdict.outcome is not Outcome.VERIFIED
    assert not any(subject.attested_keys for subject in verdict.subjects)


@pytest.mark.parametrize(
    ("base", "origin"),
    [
        ("https://vllm-proxy.test.invalid/v1", "https://vllm-proxy.test.invalid"),
        ("https://vllm-proxy.test.invalid", "https://vllm-proxy.test.invalid"),
        ("https://VLLM.test.invalid/some/where/v1", "https://vllm.test.invalid"),
        ("https://10.0.0.7:8443/v1", "https://10.0.0.7:8443"),
        ("https://my-cvm.example:443/v1", "https://my-cvm.example"),
    ],
)
def test_a_proxy_may_be_anywhere(base: str, origin: str) -> None:
    verdict = judge(_proxy("https://vllm-proxy.test.invalid/v1", base), policy("vllm-proxy", tls_bound=True))
    assert verdict.require().origin == origin
    asked = VllmProxyVerifier.front.asked(f"{base}/attestation/report?model=m&nonce={'ab' * 32}&version=2")
    assert (asked.origin, asked.tls_bound, asked.algorithm) == (origin, True, "ecdsa")


@pytest.mark.parametrize(
    "url", ["", "?", "https://", "https://[", "https://nano-gpt.com/api/v1/tee/attestation", "x" * 9]
)
def test_no_request_at_all(url: str) -> None:
    for kind in (NanoGptVerifier, PhalaVerifier, VllmProxyVerifier):
        assert not kind.front.asks(url)
        with pytest.raises(FormatError):
            kind.front.asked(url)


def _reports(*changes: dict[str, Any]) -> Any:
    """The captured session with its report once for each set of changes of the URL, the status or the body."""
    report = capture(NANOGPT)
    (own,) = (each for each in report.exchanges if REPORT in each.request.url)
    exchanges = [
        attrs.evolve(
            own,
            request=attrs.evolve(own.request, url=change.get("url", own.request.url)),
            response=attrs.evolve(
                own.response, status=change.get("status", 200), body=change.get("body", own.response.body)
            ),
        )
        for change in changes
    ]
    return attrs.evolve(report, exchanges=(*exchanges, *(each for each in report.exchanges if each is not own)))


def _url(nonce: str) -> str:
    return f"https://nano-gpt.com/api/v1/tee/attestation?model=TEE%2Fgemma-3-27b-it&nonce={nonce}"


@pytest.mark.parametrize(
    "second", [{"body": b"{}"}, {"url": _url("ab" * 32)}, {"url": _url("ab" * 32), "status": 500}], ids=str
)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_reports_in_one_file(second: dict[str, Any], swapped: bool) -> None:
    pair = (second, {}) if swapped else ({}, second)
    verdict = judge_capture(_reports(*pair), NANOGPT)
    assert verdict.outcome is Outcome.REJECTED
    assert "evidence.wellformed" in deciding(verdict)


def test_the_same_answer_twice_leaves_nothing_open() -> None:
    assert judge_capture(_reports({}, {}), NANOGPT).verified


@pytest.mark.parametrize("status", [404, 429, 500])
def test_an_attempt_that_failed_before_is_no_second_report(status: int) -> None:
    assert judge_capture(_reports({"status": status, "body": b"no"}, {}), NANOGPT).verified


def test_a_report_of_another_front_in_the_file() -> None:
    (foreign,) = (each for each in capture(VENICE).exchanges if REPORT in each.request.url)
    report = capture(NANOGPT)
    joined = attrs.evolve(report, exchanges=(foreign, *report.exchanges))
    assert judge_capture(joined, NANOGPT).verified, "nobody asks Venice here"


def test_a_nonce_of_the_file_that_was_not_asked() -> None:
    verdict = judge_capture(attrs.evolve(capture(NANOGPT), nonce=bytes(range(32))), NANOGPT)
    assert verdict.outcome is Outcome.REJECTED
    assert "freshness.nonce_bound" in deciding(verdict)


@pytest.mark.parametrize("shape", ["dstack", "near", "chutes"])
@pytest.mark.parametrize(
    ("old", "new"), [("&nonce=", "&other="), ("model=", "model=x"), ("&signing_algo", "#&signing_algo")]
)
def test_every_shape_needs_the_whole_question(shape: str, old: str, new: str) -> None:
    document = FrontSession.build("phala", shape).saved()
    url = document["exchanges"][0]["request"]["url"]
    assert judge(document, policy("phala", shape)).verified
    document["exchanges"][0]["request"]["url"] = url.replace(old, new)
    assert judge(document, policy("phala", shape)).outcome is not Outcome.VERIFIED


def test_a_verifier_for_one_endpoint_judges_no_report_of_another() -> None:
    rules = policy("vllm-proxy")
    document = FrontSession.build("vllm-proxy").saved()
    own = kind_of("vllm-proxy")(rules, roots=ROOTS, url="https://my-cvm.example/v1", clock=lambda: AT)
    with pytest.raises(ConfigurationError, match="another endpoint"):
        own.verify_saved(saved(document))


@pytest.mark.parametrize("provider", ["phala", "nanogpt", "venice"])
def test_a_front_has_one_address(provider: str) -> None:
    for url in ("https://evil.example/v1", "https://user:secret@api.redpill.ai/v1"):
        with pytest.raises(ConfigurationError) as refused:
            kind_of(provider)(policy(provider), roots=ROOTS, url=url)
        assert "secret" not in str(refused.value)
    with pytest.raises(ConfigurationError) as refused:
        kind_of("vllm-proxy")(policy("vllm-proxy"), roots=ROOTS, url="https://user:secret@my-cvm.example/v1")
    assert "secret" not in str(refused.value)
