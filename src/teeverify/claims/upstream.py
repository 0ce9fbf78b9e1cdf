"""Claims about what a gateway did with a request: whether it changed it, and which upstream served it."""

from __future__ import annotations

from attrs import frozen

from ..formats.aci_receipt import UpstreamEvent
from ..formats.aci_session import UpstreamSession
from .problem import Problem

__all__ = ["UpstreamClaims"]


@frozen(kw_only=True)
class UpstreamClaims:
    """What a signed receipt says of the way behind the gateway.

    ``direct`` is true where the attested gateway itself, over a connection that ends inside it, says that it has no
    upstream, false where it says otherwise, and None where nothing shows who says so. ``received_digest`` and
    ``forwarded_digest`` are 32 bytes, the latter None where nothing was forwarded. ``session`` is None where no session
    was cited. ``accepted_sessions`` are those that our request pinned, None where it accepts any, a Problem where the
    request cannot be read. ``served_at`` are Unix seconds.
    """

    direct: bool | None
    received_digest: bytes
    forwarded_digest: bytes | None
    events: tuple[UpstreamEvent, ...]
    session: UpstreamSession | Problem | None
    accepted_sessions: tuple[str, ...] | Problem | None
    served_at: int
