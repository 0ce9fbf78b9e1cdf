"""From a provider's signature statement to claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..claims.exchange import ResponseSignature
from ..claims.problem import Problem, ProblemKind
from ..crypto.signatures import recover_personal_signer, verify_ed25519
from ..endorsements.answers import NOT_AN_ANSWER
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.signed_text import SignedText, parse_signed_text
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_ENDORSEMENT_BODY

__all__ = ["derive_signature"]

_KINDS: Final = (None, "provider_tee", "gateway")
_SIZES: Final = {"ed25519": (32, 64), "ecdsa": (20, 65)}
"""Bytes of address and signature."""


def derive_signature(body: bytes, algorithm: str) -> ResponseSignature | Problem:
    """Read and verify the answer of a signature endpoint; ``algorithm`` (ed25519 or ecdsa) is the one asked for.

    Never raises: an answer that is no statement, or says that there is none, is UNAVAILABLE; one that does not have its
    form is MALFORMED.
    """
    try:
        document = loads(body, what="the signature answer", limit=MAX_ENDORSEMENT_BODY)
        if not isinstance(document, dict):
            raise FormatError("signature_shape", "the signature answer is not a JSON object")
        if document.get("error_code") is not None or document.get("error") is not None:
            detail = "the provider says that it has no signature for this chat"
            return Problem(kind=ProblemKind.UNAVAILABLE, code="no_signature", detail=detail, where="signature")
        return _read(document, algorithm)
    except FormatError as error:
        outage = error.code in NOT_AN_ANSWER
        kind = ProblemKind.UNAVAILABLE if outage else ProblemKind.MALFORMED
        code = "not_an_answer" if outage else error.code
        return Problem(kind=kind, code=code, detail=str(error), where="signature")


def _read(document: Mapping[str, JsonValue], algorithm: str) -> ResponseSignature:
    signed = parse_signed_text(document.get("text"))
    stated, kind = document.get("signing_algo"), document.get("signature_kind")
    if stated != algorithm:
        raise FormatError("other_algorithm", f"the signature is not of the algorithm that was asked for, {algorithm}")
    if not (kind is None or isinstance(kind, str)) or kind not in _KINDS:
        raise FormatError("unknown_kind", "the signature is of a kind that is not known")
    address_size, signature_size = _SIZES[algorithm]
    address = _hex(document, "signing_address", address_size, algorithm)
    return ResponseSignature(
        kind=kind,
        algorithm=algorithm,
        address=address,
        model=signed.model,
        request_digest=signed.request_digest,
        response_digest=signed.response_digest,
        valid=_verify(signed, algorithm, address, _hex(document, "signature", signature_size, algorithm)),
    )


def _verify(signed: SignedText, algorithm: str, address: bytes, signature: bytes) -> bool:
    message = signed.text.encode("utf-8", "surrogatepass")
    if algorithm == "ed25519":
        return verify_ed25519(address, signature, message)
    return recover_personal_signer(message, signature) == address


def _hex(document: Mapping[str, JsonValue], name: str, size: int, algorithm: str) -> bytes:
    value = document.get(name)
    if algorithm == "ecdsa" and isinstance(value, str):
        value = value.removeprefix("0x")
    return decode_hex(value, what=f"{name} of the signature answer", size=size)
