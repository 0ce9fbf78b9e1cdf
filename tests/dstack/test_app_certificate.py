"""The app certificate: its chain, its app, its use, and the quote inside it (attack 34)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from attrs import evolve

from captures import captures_folder
from teeverify.claims.dstack import AppCertificate
from teeverify.claims.problem import Problem, ProblemKind
from teeverify.derivation.app_certificate import derive_app_certificate
from teeverify.testing import DstackApp
from teeverify.testing.certificates import Issued
from teeverify.testing.keys import spki
from teeverify.testing.kms import app_certificates, kms_root

from .apps import FORM, failing, judge, reason
from .machines import app_certificates_of_captures

LABEL = "app/gateway"


def ratls_data(app: DstackApp, label: str = LABEL) -> bytes:
    return hashlib.sha512(b"ratls-cert:" + spki(app.keys.p256(f"{label}/app-leaf"))).digest()


def certified(app: DstackApp, chain: tuple[Issued, ...]) -> Any:
    app.with_certificate_quote = False
    app.enclave.boot = evolve(app.enclave.boot, app_certificates=chain)
    return judge(app)


def issued(app: DstackApp, **options: Any) -> tuple[Issued, ...]:
    boot = app.enclave.boot
    return app_certificates(app.keys, boot.kms, boot.app_id, LABEL, **options)


def test_a_certificate_with_a_quote_and_one_without() -> None:
    app = DstackApp.build()
    assert failing(judge(app)) == set()
    app = DstackApp.build()
    assert failing(certified(app, issued(app))) == set()
    assert failing(certified(app, issued(app, quote=app.enclave.quote(ratls_data(app))))) == set()
    assert failing(certified(app, ())) == set()


@pytest.mark.parametrize("name", ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id"])
def test_a_quote_of_another_machine(name: str) -> None:
    app, other = DstackApp.build(), DstackApp.build()
    other.enclave.td_changes[name] = b"\x5a" * 48
    verdict = certified(app, issued(app, quote=other.enclave.quote(ratls_data(app))))
    assert failing(verdict) == {"dstack.key_provider"}
    assert reason(verdict, "dstack.key_provider") == "other_td"


@pytest.mark.parametrize("data", ["other key", "other tag", "first half only"])
def test_a_quote_about_something_else(data: str) -> None:
    app = DstackApp.build()
    key = spki(app.keys.p256(f"{LABEL}/app-leaf"))
    wrong = {
        "other key": ratls_data(app, "app/other"),
        "other tag": hashlib.sha512(b"app-data:" + key).digest(),
        "first half only": hashlib.sha512(b"ratls-cert:" + key).digest()[:32] + bytes(32),
    }[data]
    verdict = certified(app, issued(app, quote=app.enclave.quote(wrong)))
    assert failing(verdict) == {"dstack.key_provider"}
    assert reason(verdict, "dstack.key_provider") == "other_key"


@pytest.mark.parametrize("quote", [b"", b"no quote", bytes(6000)])
def test_an_extension_that_holds_no_quote(quote: bytes) -> None:
    app = DstackApp.build()
    assert failing(certified(app, issued(app, quote=quote))) == {"evidence.wellformed"}


@pytest.mark.parametrize("usage", [b"app:ca", b"kms:ca", b"", b"xapp:custom"])
def test_a_certificate_for_another_use(usage: bytes) -> None:
    app = DstackApp.build()
    verdict = certified(app, issued(app, usage=usage))
    assert failing(verdict) == {"dstack.key_provider"}
    assert reason(verdict, "dstack.key_provider") == "other_usage"


def test_a_certificate_of_another_kms_or_for_another_app() -> None:
    app = DstackApp.build()
    boot = app.enclave.boot
    foreign = app_certificates(app.keys, kms_root(app.keys, "stranger"), boot.app_id, LABEL)
    assert reason(certified(app, foreign), "dstack.key_provider") == "other_root"
    others = app_certificates(app.keys, boot.kms, b"\1" * 20, LABEL)
    assert reason(certified(app, others), "dstack.key_provider") == "other_app"
    leaf, _, root = issued(app)
    mixed = (leaf, foreign[1], root)
    assert reason(certified(app, mixed), "dstack.key_provider") == "app_cert_chain"
    for chain in ((leaf,), (leaf, root), (*issued(app), root)):
        assert failing(certified(app, chain)) == {"dstack.key_provider"}


def test_values_that_are_no_certificates() -> None:
    app = DstackApp.build()
    for value in (5, ["x"], "x", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"):
        files = app.files()
        info = {**json.loads(files["info"]), "app_cert": value}
        assert failing(judge(app, {**files, "info": json.dumps(info)})) & FORM
        problem = derive_app_certificate(value, {})
        assert isinstance(problem, Problem)
        assert problem.kind is ProblemKind.MALFORMED
    assert derive_app_certificate(None, {}) is derive_app_certificate("", {}) is None


def test_every_captured_certificate_carries_a_quote_about_its_key() -> None:
    captures_folder()
    found = app_certificates_of_captures()
    assert len(found) >= 7
    for where, text, report in found:
        certificate = derive_app_certificate(text, {})
        assert isinstance(certificate, AppCertificate), where
        assert certificate.usages == (b"app:custom", b"app:ca")
        quote = certificate.quote
        assert quote is not None
        assert not isinstance(quote, Problem)
        assert quote.report.report_data == hashlib.sha512(b"ratls-cert:" + certificate.leaf_spki).digest()
        assert (quote.report.mr_td, *quote.report.rtmrs) == (report.mr_td, *report.rtmrs), where
        assert quote.report.mr_config_id == report.mr_config_id
