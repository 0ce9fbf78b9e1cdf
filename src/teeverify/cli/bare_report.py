"""A bare provider response, for example saved with curl, made into a report that can be judged."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve

from ..endorsements.answers import ENDORSER_HOSTS
from ..endorsements.intel_pcs import QE_IDENTITY, ROOT_CRL, intel_requests, pck_crl_name, tcb_info_name
from ..endorsements.nvidia_nras import JWKS, NRAS, nras_requests
from ..errors import ConfigurationError, FormatError, InputError, SavedReportError
from ..flow import Request, Response
from ..formats.encodings import decode_hex
from ..limits import MAX_ENDORSEMENT_BODY, MAX_REPORT_BODY
from ..saved import RecordedExchange, SavedReport

__all__ = ["read_bare_report", "read_collateral", "read_file"]

_TCB_FILE: Final = re.compile(r"tcb-info-([0-9a-f]{12})\.json\Z")


def read_bare_report(args: argparse.Namespace) -> tuple[SavedReport, bool]:
    """Build the saved report that a live session would have left, from files.

    Returns the report, and True where a saved report given as collateral says when the session was.
    """
    if args.provider != "near":
        raise ConfigurationError(f"a bare response of provider {args.provider!r} cannot be read; near can")
    from ..crypto.certificates import load_pem_chain
    from ..providers.near_wire import asked_from_url, default_url

    try:
        nonce = decode_hex(args.nonce, what="--nonce", size=32)
    except FormatError as error:
        raise ConfigurationError(str(error)) from None
    body = read_file(Path(args.report), MAX_REPORT_BODY)
    url = args.url or default_url(body, model=args.model, nonce=nonce)
    try:
        asked = asked_from_url(url)
    except FormatError as error:
        raise ConfigurationError(f"--url: {error}") from None
    if asked.nonce != nonce:
        raise ConfigurationError(
            "--url carries another nonce than --nonce, or none: give the URL that was really asked"
        )
    spki = None
    if args.tls_cert is not None:
        spki = load_pem_chain(read_file(Path(args.tls_cert), MAX_REPORT_BODY), what="--tls-cert")[0].spki_der
    exchange = RecordedExchange(
        request=Request(method="GET", url=url, limit=MAX_REPORT_BODY),
        response=Response(status=200, headers={}, body=body, peer_spki=spki),
    )
    endorsements, recorded_at = read_collateral(args.collateral)
    report = SavedReport(
        provider=args.provider,
        model=args.model,
        nonce=nonce,
        recorded_at=recorded_at or datetime.now(timezone.utc),
        exchanges=(exchange, *endorsements),
    )
    return report, recorded_at is not None


def read_collateral(source: str | None) -> tuple[tuple[RecordedExchange, ...], datetime | None]:
    """Answers of Intel and NVIDIA out of a folder, or out of a saved report, with the time that this one claims.

    Raises:
        SavedReportError: the folder holds none, or the file is no saved report.
    """
    if source is None:
        return (), None
    path = Path(source)
    if path.is_dir():
        return _from_directory(path), None
    saved = SavedReport.load(path)
    # Only what endorsers answered is taken: a report inside the file must never be judged in the place of --report.
    taken = (exchange for exchange in saved.exchanges if urlsplit(exchange.request.url).netloc in ENDORSER_HOSTS)
    return tuple(taken), saved.recorded_at


def _from_directory(folder: Path) -> tuple[RecordedExchange, ...]:
    """Answers by file name: each body beside a file ``NAME.headers`` with the header lines that curl -D writes.

    ``tcb-info-FMSPC.json``, ``qe-identity.json``, ``pck-crl-platform.der``, ``pck-crl-processor.der``, ``root-ca.crl``,
    ``nras.json`` and ``jwks.json``.
    """
    fmspcs = [match[1] for match in map(_TCB_FILE.match, sorted(p.name for p in folder.iterdir())) if match]
    requests: dict[str, Request] = {}
    for ca in ("platform", "processor"):
        requests |= intel_requests((bytes.fromhex(fmspc), ca) for fmspc in (fmspcs or ["000000000000"]))
    requests |= nras_requests("model", b"")
    files = {
        **{tcb_info_name(bytes.fromhex(fmspc)): f"tcb-info-{fmspc}.json" for fmspc in fmspcs},
        QE_IDENTITY: "qe-identity.json",
        pck_crl_name("platform"): "pck-crl-platform.der",
        pck_crl_name("processor"): "pck-crl-processor.der",
        ROOT_CRL: "root-ca.crl",
        f"{NRAS}.model": "nras.json",
        JWKS: "jwks.json",
    }
    found = {name: folder / file for name, file in files.items() if (folder / file).is_file()}
    if not found:
        raise SavedReportError(
            f"the folder {str(folder)!r} holds no answer of Intel or NVIDIA: docs/saved-reports.md lists the file names"
        )
    return tuple(
        RecordedExchange(
            request=evolve(requests[name], headers={}),
            response=Response(status=200, headers=_headers(path), body=read_file(path, MAX_ENDORSEMENT_BODY)),
        )
        for name, path in found.items()
    )


def _headers(path: Path) -> dict[str, tuple[str, ...]]:
    beside = path.with_name(f"{path.name}.headers")
    if not beside.is_file():
        return {}
    headers: dict[str, tuple[str, ...]] = {}
    for line in read_file(beside, MAX_ENDORSEMENT_BODY).decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon and " " not in name:
            key = name.strip().lower()
            headers[key] = (*headers.get(key, ()), value.strip())
    return headers


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: it cannot be read, or is longer than ``limit``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"the file {str(path)!r} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise InputError(f"the file {str(path)!r} is longer than {limit} bytes")
    return data
