"""``teeverify verify --provider near --report FILE``: a response that somebody saved with curl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from teeverify.saved import SavedReport

from .commands import CLOUD, DIRECT, FIXTURES, REPORTS, Shown, run

NAMES = {
    "qe/identity": "qe-identity.json",
    "ca=platform": "pck-crl-platform.der",
    "IntelSGXRootCA.der": "root-ca.crl",
    "v3/attest/gpu": "nras.json",
    "jwks.json": "jwks.json",
}


def _saved(name: str) -> SavedReport:
    return SavedReport.load(FIXTURES / REPORTS[name]["file"])


def _parts(name: str, folder: Path) -> tuple[Path, Path]:
    """The body of the report as a file, and a folder with the answers of Intel and NVIDIA."""
    report = folder / "report.json"
    answers = folder / "collateral"
    answers.mkdir()
    for exchange in _saved(name).exchanges:
        url, response = exchange.request.url, exchange.response
        if "/attestation/report" in url:
            report.write_bytes(response.body)
            continue
        fmspc = url.partition("fmspc=")[2]
        file = f"tcb-info-{fmspc}.json" if fmspc else next(new for part, new in NAMES.items() if part in url)
        (answers / file).write_bytes(response.body)
        lines = [f"{header}: {value}" for header, values in response.headers.items() for value in values]
        (answers / f"{file}.headers").write_text("HTTP/2 200\r\n" + "\r\n".join(lines) + "\r\n\r\n", encoding="latin-1")
    return report, answers


def _run(capsys: pytest.CaptureFixture[str], name: str, report: Path, *more: str | Path) -> Shown:
    saved = _saved(name)
    return run(
        capsys,
        "verify",
        "--provider",
        "near",
        "--report",
        report,
        "--nonce",
        saved.nonce.hex(),
        "--model",
        saved.model,
        "--policy",
        FIXTURES / REPORTS[name]["policy"],
        "--test-roots",
        FIXTURES / "roots",
        "-q",
        *more,
    )


@pytest.mark.parametrize("name", [DIRECT, CLOUD])
def test_with_a_saved_report_as_collateral(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything can be judged but the connection, whose key nobody recorded."""
    report, _ = _parts(name, tmp_path)
    shown = _run(capsys, name, report, "--collateral", FIXTURES / REPORTS[name]["file"])
    assert shown.code == 3
    assert "not evaluated: channel.tls_spki" in shown.out
    assert "as of 2026-06-15 12:00:00 UTC" in shown.out


@pytest.mark.parametrize("name", [DIRECT, CLOUD])
def test_with_a_folder_as_collateral(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, answers = _parts(name, tmp_path)
    shown = _run(capsys, name, report, "--collateral", answers, "--at", "2026-06-15T12:00:00Z")
    assert shown.code in (1, 3)
    assert "channel.tls_spki" in shown.out
    assert "tcb.collateral_current" not in shown.out


def test_the_time_of_a_folder_is_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, answers = _parts(DIRECT, tmp_path)
    shown = _run(capsys, DIRECT, report, "--collateral", answers)
    assert shown.code == 1
    assert "tcb.collateral_current" in shown.out


def test_without_collateral(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = _parts(DIRECT, tmp_path)
    shown = _run(capsys, DIRECT, report, "--at", "2026-06-15T12:00:00Z")
    assert shown.code == 3
    assert shown.out.startswith("INCONCLUSIVE")


@pytest.mark.parametrize("name", [DIRECT, CLOUD])
def test_another_nonce_model_or_url(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = _parts(name, tmp_path)
    collateral = ("--collateral", FIXTURES / REPORTS[name]["file"])
    other_nonce = _run(capsys, name, report, *collateral, "--nonce", "ab" * 32)
    assert other_nonce.code == 1
    assert "freshness.nonce_bound" in other_nonce.out
    other_model = _run(capsys, name, report, *collateral, "--model", "other/model")
    assert other_model.code == 1
    assert "evidence.complete" in other_model.out
    saved = _saved(name)
    url = next(e.request.url for e in saved.exchanges if "/attestation/report" in e.request.url)
    as_asked = _run(capsys, name, report, *collateral, "--url", url)
    assert as_asked.code == 3
    other_form = _run(capsys, name, report, *collateral, "--url", url.replace("include_tls_fingerprint=true", "x=1"))
    assert other_form.code == 1
    assert "binding.report_data" in other_form.out
    of_another = url.replace(saved.nonce.hex(), "cd" * 32)
    assert _run(capsys, name, report, *collateral, "--url", of_another).code == 2


def test_the_certificate_of_the_connection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate of another key is refused; the fixtures keep only the key of the right one."""
    report, _ = _parts(DIRECT, tmp_path)
    other = FIXTURES / "roots" / "intel-root.pem"
    key = x509.load_pem_x509_certificate(other.read_bytes()).public_key()
    assert key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    shown = _run(capsys, DIRECT, report, "--collateral", FIXTURES / REPORTS[DIRECT]["file"], "--tls-cert", other)
    assert shown.code == 1
    assert "channel.tls_spki" in shown.out


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        (["--nonce", "zz"], 2, "nonce"),
        (["--nonce", "ab" * 31], 2, "nonce"),
        (["--provider", "tinfoil"], 2, "tinfoil"),
        (["--url", "https://example.com/v1/attestation/report"], 2, "--url"),
        (["--url", "http://[::1"], 2, "--url"),
        (["--tls-cert", "missing.pem"], 4, "missing.pem"),
        (["--collateral", "missing"], 4, "missing"),
        (["--report", "missing.json"], 4, "missing.json"),
        (["--report", "."], 4, "'.'"),
    ],
)
def test_bad_arguments(
    changed: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = _parts(DIRECT, tmp_path)
    shown = _run(capsys, DIRECT, report, *changed)
    assert shown.code == code
    assert words in shown.sentence()


def test_a_certificate_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = _parts(DIRECT, tmp_path)
    for content in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (tmp_path / "bad.pem").write_bytes(content)
        shown = _run(capsys, DIRECT, report, "--tls-cert", tmp_path / "bad.pem")
        assert shown.code == 4
        assert "--tls-cert" in shown.sentence()


def test_an_empty_folder_as_collateral(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = _parts(DIRECT, tmp_path)
    (tmp_path / "empty").mkdir()
    shown = _run(capsys, DIRECT, report, "--collateral", tmp_path / "empty")
    assert shown.code == 4
    assert "holds no answer" in shown.sentence()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"<html>", b'{"a":1,"a":2}', b"null"])
def test_a_report_that_is_none(body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report"
    path.write_bytes(body)
    shown = _run(capsys, DIRECT, path, "--at", "2026-06-15T12:00:00Z")
    assert shown.code == 1
    assert "evidence.wellformed" in shown.out or "evidence.complete" in shown.out


@pytest.mark.parametrize("missing", ["--provider", "--report", "--nonce", "--model"])
def test_all_four_arguments_are_needed(missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"--provider": "near", "--report": "r", "--nonce": "ab" * 32, "--model": "m"}
    del given[missing]
    shown = run(capsys, "verify", *(part for pair in given.items() for part in pair))
    assert shown.code == 2
    assert missing in shown.sentence()


def test_a_saved_report_excludes_the_other_form(capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / REPORTS[DIRECT]["file"]
    for option in ("--provider", "--report", "--nonce", "--model", "--url", "--tls-cert", "--collateral"):
        shown = run(capsys, "verify", path, option, "x")
        assert shown.code == 2
        assert option in shown.sentence()


def test_headers_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the header lines that curl -D writes, Intel's signers are unknown."""
    report, answers = _parts(DIRECT, tmp_path)
    for path in answers.glob("*.headers"):
        path.unlink()
    shown = _run(capsys, DIRECT, report, "--collateral", answers, "--at", "2026-06-15T12:00:00Z")
    assert shown.code in (1, 3)
    assert "tcb.collateral_current" in shown.out
    assert json.loads((answers / "qe-identity.json").read_bytes())
