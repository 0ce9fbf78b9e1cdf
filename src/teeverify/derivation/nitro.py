"""Bytes to claims: the attestation document of an AWS Nitro enclave."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ..claims.nitro import NitroClaims
from ..claims.problem import Problem, ProblemKind
from ..crypto.nitro import chain_dates, judge_chain, judge_signature, read_chain
from ..errors import FormatError
from ..formats.nitro_document import decode_document, parse_document
from ..roots import TrustRoots

__all__ = ["derive_nitro", "served_document"]

_WHERE: Final = "attestation document"


def served_document(body: bytes) -> bytes | Problem:
    """The document out of the body of an answer, which is base64 with white space round it."""
    try:
        return decode_document(body)
    except FormatError as error:
        return _malformed(error)


def derive_nitro(
    data: bytes | Problem,
    *,
    at: datetime,
    roots: TrustRoots,
    tls_certificate_sha256: bytes | Problem | None = None,
    signing_key_sha256: bytes | Problem | None = None,
) -> NitroClaims:
    """Derive everything the nitro.* checks judge. Total: whatever the bytes are, the result is claims or problems.

    Args:
        data: the document as COSE_Sign1 bytes (see `served_document`), or the problem of having none.
        at: the time the verdict is for (aware); all certificates must be valid then.
        roots: trust anchors.
        tls_certificate_sha256: what the first hash of the user data must be, 32 bytes; None where it is not known.
        signing_key_sha256: what the second one must be, likewise.
    """
    expected = {"tls_certificate_sha256": tls_certificate_sha256, "signing_key_sha256": signing_key_sha256}
    if isinstance(data, Problem):
        return NitroClaims(document=data, chain=data, trust=data, signature=data, **expected)
    try:
        document = parse_document(data)
    except FormatError as error:
        bad = _malformed(error)
        return NitroClaims(document=bad, chain=bad, trust=bad, signature=bad, **expected)
    chain = read_chain(document)
    if isinstance(chain, Problem):
        return NitroClaims(document=document, chain=chain, trust=chain, signature=chain, **expected)
    return NitroClaims(
        document=document,
        chain=chain_dates(chain),
        trust=judge_chain(chain, at=at, root_sha256=roots.aws_root_sha256),
        signature=judge_signature(document, chain[0]),
        **expected,
    )


def _malformed(error: FormatError) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where=_WHERE)
