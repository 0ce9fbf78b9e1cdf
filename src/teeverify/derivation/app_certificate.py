"""From ``info.app_cert`` to claims: the certificate chain that a dstack KMS issued, and the quote inside its leaf."""

from __future__ import annotations

from typing import Final

from ..claims.dstack import AppCertificate
from ..claims.problem import Problem, ProblemKind
from ..crypto.certificates import Certificate, CertificateMemo, is_issued_by, load_pem_chain
from ..errors import FormatError
from ..formats.der import OCTET_STRING, only_element
from ..formats.strict_json import JsonValue
from ..formats.tdx_quote import TdxQuote, parse_quote

__all__ = ["derive_app_certificate"]

_ARC: Final = "1.3.6.1.4.1.62397.1"
_QUOTE: Final = f"{_ARC}.1"
_APP_ID: Final = f"{_ARC}.3"
_USAGE: Final = f"{_ARC}.4"
_APP_ID_SIZE: Final = 20


def derive_app_certificate(value: JsonValue, memo: CertificateMemo) -> AppCertificate | Problem | None:
    """Claims of a PEM chain; None where the record shows none."""
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        return _malformed(FormatError("certificate_syntax", "info.app_cert is not a string"))
    try:
        chain = load_pem_chain(value.encode("utf-8"), what="info.app_cert", memo=memo)
        extensions = [{oid: _octets(one, oid) for oid in (_QUOTE, _APP_ID, _USAGE)} for one in chain[:2]]
    except FormatError as error:
        return _malformed(error)
    app_ids = tuple(app_id for found in extensions if (app_id := found[_APP_ID]) and len(app_id) == _APP_ID_SIZE)
    if (
        len(chain) != 3
        or len(app_ids) != 2
        or not (chain[1].is_ca and chain[2].is_ca)
        or not all(is_issued_by(chain[i], chain[min(i + 1, 2)]) for i in range(3))
    ):
        detail = "info.app_cert is not a chain of a certificate and two CAs, signed link by link, that names the app"
        return Problem(kind=ProblemKind.INVALID, code="app_cert_chain", detail=detail, where="app_cert")
    return AppCertificate(
        root_spki=chain[2].spki_der,
        app_ids=app_ids,
        leaf_spki=chain[0].spki_der,
        usages=(extensions[0][_USAGE], extensions[1][_USAGE]),
        quote=_quote(extensions[0][_QUOTE]),
    )


def _octets(certificate: Certificate, oid: str) -> bytes | None:
    """The octets of one of dstack's extensions: each holds a DER OCTET STRING."""
    value = certificate.extension_value(oid)
    return None if value is None else only_element(value, OCTET_STRING, what=f"extension {oid} of info.app_cert")


def _quote(raw: bytes | None) -> TdxQuote | Problem | None:
    try:
        return None if raw is None else parse_quote(raw)
    except FormatError as error:
        return _malformed(error)


def _malformed(error: FormatError) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="app_cert")
