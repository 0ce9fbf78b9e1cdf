"""From ACI's documents to claims: who vouches for the receipt keys, and what a receipt says of one exchange."""

from __future__ import annotations

from collections.abc import Mapping

from ..claims.aci import KeyCustody
from ..claims.exchange import ResponseSignature
from ..claims.problem import Problem, ProblemKind
from ..crypto.signatures import recover_secp256k1, verify_ed25519
from ..errors import FormatError
from ..formats.aci_custody import CustodyEntry, parse_custody
from ..formats.aci_receipt import Receipt
from ..formats.strict_json import JsonValue

__all__ = ["derive_custody", "derive_receipt"]


def derive_custody(value: JsonValue, app_id: bytes | Problem) -> tuple[KeyCustody, ...] | Problem | None:
    """The custody chains of the receipt keys for the measured app id (20 bytes); None where the report shows none.

    Never raises: what does not have its form is an INVALID Problem, since only the policy knows whether it counts.
    """
    if value is None:
        return None
    try:
        entries = parse_custody(value)
    except FormatError as error:
        return Problem(kind=ProblemKind.INVALID, code=error.code, detail=str(error), where="key_custody")
    if isinstance(app_id, Problem):
        return app_id
    return tuple(_followed(entry, app_id) for entry in entries)


def _followed(entry: CustodyEntry, app_id: bytes) -> KeyCustody:
    app_key = recover_secp256k1(entry.purpose_message, entry.purpose_signature)
    root = None
    if app_key is not None:
        root = recover_secp256k1(CustodyEntry.root_message(app_id, app_key), entry.root_signature)
    return KeyCustody(public_key=entry.public_key, purpose=entry.purpose, root=root)


def derive_receipt(
    receipt: Receipt | Problem, *, keyset_digest: str | None, keys: Mapping[str, bytes]
) -> ResponseSignature | Problem:
    """Verify a receipt under the attested keyset.

    ``keys`` are the attested ed25519 keys (32 bytes) by key id, ``keyset_digest`` the attested digest; None and nothing
    where no attestation stands. A receipt of another keyset, or by a key that this one does not hold, is an INVALID
    Problem: its signer is not known.
    """
    if isinstance(receipt, Problem):
        return receipt
    if receipt.keyset_digest != keyset_digest:
        return _stranger("the receipt was made under another keyset than the attested one")
    key = keys.get(receipt.key_id)
    if key is None:
        return _stranger("the receipt is signed by a key that is not among the attested receipt keys of ed25519")
    return ResponseSignature(
        kind="receipt",
        algorithm="ed25519",
        address=key,
        model=receipt.model,
        request_digest=receipt.request_digest,
        response_digest=receipt.response_digest,
        valid=verify_ed25519(key, receipt.signature, receipt.signing_input),
    )


def _stranger(detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code="unknown_signer", detail=detail, where="receipt")
