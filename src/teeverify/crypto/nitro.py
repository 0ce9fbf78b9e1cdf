"""Who signed an AWS Nitro attestation document: the certificates inside it, up to the pinned root, and its signature.

Every certificate of a document is the sender's choice, the first one of ``cabundle`` too. None of them is ever taken as
an anchor: the first must be the pinned root byte for byte, and each other one must be issued by the one before it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ..claims.nitro import NitroChain
from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.nitro_document import NitroDocument
from .certificates import Certificate, load_der, verify_chain, verify_p384

__all__ = ["chain_dates", "judge_chain", "judge_signature", "read_chain"]

_WHERE: Final = "attestation document"
_LEAF_KEY: Final = "EC secp384r1"
_JUDGED_EXTENSIONS: Final = frozenset({"2.5.29.15", "2.5.29.19"})
"""keyUsage and basicConstraints: what may be critical in AWS's certificates."""


def read_chain(document: NitroDocument) -> tuple[Certificate, ...] | Problem:
    """The certificates of a document, leaf first and the supposed root last; nothing is verified."""
    ders = (document.certificate, *reversed(document.cabundle))
    try:
        return tuple(load_der(der, what=f"certificate {index} of the document") for index, der in enumerate(ders))
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where=_WHERE)


def chain_dates(chain: tuple[Certificate, ...]) -> NitroChain:
    """When all certificates of a chain are valid at once."""
    return NitroChain(
        not_before=max(certificate.not_before for certificate in chain),
        not_after=min(certificate.not_after for certificate in chain),
    )


def judge_chain(chain: tuple[Certificate, ...], *, at: datetime, root_sha256: bytes) -> Problem | None:
    """Judge the chain of a document, leaf first, as of ``at`` (aware).

    Returns:
        None when the chain holds; else an INVALID `Problem` with a code of `verify_chain`, ``leaf_key``,
        ``leaf_is_ca`` or ``leaf_usage``.
    """
    refused = verify_chain(chain, at=at, root_sha256=root_sha256)
    if refused is not None:
        return refused
    for depth, certificate in enumerate(chain):
        if not certificate.critical <= _JUDGED_EXTENSIONS:
            return _invalid("chain_extension", f"certificate {depth} has a critical extension that is not understood")
        if depth > 0 and certificate.key_cert_sign is not True:
            return _invalid("chain_ca", f"certificate {depth} issues certificate {depth - 1} and may sign none")
    leaf = chain[0]
    if leaf.is_ca:
        return _invalid("leaf_is_ca", "the document's own certificate is that of a CA")
    if leaf.digital_signature is False:
        return _invalid("leaf_usage", "the document's own certificate is not for signing documents")
    if leaf.public_key_kind != _LEAF_KEY:
        return _invalid("leaf_key", f"the document's key is of kind {leaf.public_key_kind}, {_LEAF_KEY} was expected")
    return None


def judge_signature(document: NitroDocument, leaf: Certificate) -> Problem | None:
    """None when ``leaf``'s key made the document's signature (ES384); else an INVALID `Problem`, ``bad_signature``."""
    if verify_p384(leaf, document.signature, document.signed_bytes):
        return None
    return _invalid("bad_signature", "the document is not signed by the key of its certificate")


def _invalid(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where=_WHERE)
