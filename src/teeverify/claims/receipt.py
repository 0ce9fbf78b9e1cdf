"""Claims about a proxy's signed statement on the evidence behind it."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from .problem import Problem

__all__ = ["InstanceResult", "ProxyStatement", "ReceiptClaims"]


@frozen(kw_only=True)
class ProxyStatement:
    """A signed payload with what stands beside it: a binding proof, or a verification receipt.

    ``valid`` is the result of verifying the signature under the address (20 bytes for ecdsa, 32 for ed25519) that it
    names. ``made_at`` is an aware time. ``evidence_digest`` is what the payload says of the upstream evidence (SHA-256
    over its canonical JSON, 32 bytes).
    """

    algorithm: str
    address: bytes
    valid: bool
    nonce: bytes
    model: str
    provider: str
    made_at: datetime
    evidence_digest: bytes


@frozen(kw_only=True)
class InstanceResult:
    """What a receipt says of one instance: ``faults`` names, in words, what keeps it from being a good result."""

    id: str
    faults: tuple[str, ...]
    gpu_verified: bool


@frozen(kw_only=True)
class ReceiptClaims:
    """What a proxy says about the instances behind it.

    ``delegated`` is true where the proxy verified them itself and shows a receipt in place of the evidence (mode
    "proxy"), and false where it hands the evidence on with a binding proof ("passthrough"). ``model`` is the one that
    the verdict is for. ``seen_digest`` is the digest of the evidence that was handed on, None where there is none.
    ``faults`` of the payload are words.
    ``instances`` is None where a receipt holds no result of single instances. ``stated_key`` is the public key beside
    the proxy's record (32 or 64 bytes) and ``record_key`` the one inside it.
    """

    delegated: bool
    model: str
    statement: ProxyStatement | Problem
    faults: tuple[str, ...] = ()
    seen_digest: bytes | Problem | None = None
    instances: tuple[InstanceResult, ...] | Problem | None = None
    stated_key: bytes | Problem
    record_key: bytes | Problem
