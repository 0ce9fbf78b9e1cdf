"""Chutes: the checks of which one must refuse a change at each place of a saved session.

Places are written as in `chutes_rules`, which holds the fields that no check depends on.
"""

from __future__ import annotations

from typing import Final

from .endorser_rules import ENDORSER_GUARDS, QUOTE_GUARDS, check_ids

__all__ = ["CHUTES_GUARDS"]

_FORM: Final = "evidence.wellformed evidence.complete"
_BOUND: Final = "binding.report_data freshness.nonce_bound"

CHUTES_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    # the file, what was asked, and the answers as a whole
    (r"session\.(nonce|replay)", check_ids("freshness.nonce_bound")),
    (r"session\.(model|chute)(:everywhere)?", check_ids("evidence.complete")),
    (r"session\.recorded_at", check_ids("saved.recorded_at")),
    (r"request\.url\.nonce", check_ids("freshness.nonce_bound")),
    (r"request\.(method|url\.(host|scheme|chute|query))", check_ids(_FORM)),
    (r"answer\.models(\.(status|text))?|models\.(id|chute_id|entry)", check_ids("evidence.complete")),
    (r"answer\.(keys|evidence)(\.(status|text|second|header\.content-type))?", check_ids(_FORM)),
    # keys and evidence
    (r"record\.(key|instance)|(keys\.instances|evidence\.evidence)", check_ids(_FORM)),
    (r"evidence\.failed_instance_ids(:stranger)?", check_ids(_FORM)),
    (r"(key|instance)\.instance_id", check_ids(_FORM)),
    (r"key\.e2e_pubkey", check_ids(_FORM)),
    (r"key\.e2e_pubkey@(coefficients|seed)", check_ids(f"{_BOUND} evidence.wellformed")),
    (r"key\.e2e_pubkey@end", check_ids("evidence.wellformed")),
    (r"instance\.certificate(@end)?", check_ids(_FORM)),
    (r"instance\.certificate@public key", check_ids("binding.report_data evidence.wellformed")),
    (r"instance\.quote@end", check_ids("evidence.wellformed")),
    *QUOTE_GUARDS,
    # GPUs
    (r"instance\.gpu_evidence\.#\.arch", check_ids("gpu.present evidence.wellformed")),
    (
        r"instance\.gpu_evidence(\.#)?",
        check_ids("gpu.present gpu.distinct_devices gpu.nras_token gpu.nras_result evidence.wellformed"),
    ),
    (r"instance\.gpu_evidence\.#\.evidence@end", check_ids("evidence.wellformed")),
    (
        r"instance\.gpu_evidence\.#\.certificate(@.*)?",
        check_ids("gpu.cert_chain gpu.distinct_devices evidence.wellformed"),
    ),
    (
        r"instance\.gpu_evidence\.#\.evidence(@.*)?",
        check_ids("gpu.evidence_signature gpu.cert_chain gpu.nonce_bound evidence.wellformed"),
    ),
    # one instance against another
    (r"instances\.(unreadable|repeated|failed)", check_ids("evidence.wellformed")),
    (r"instances\.shared", check_ids("binding.distinct_instances")),
    (r"instances\.key_twice", check_ids("evidence.complete")),
    (r"instances\.(swapped|lent\.(key|quote))", check_ids(f"{_BOUND} binding.distinct_instances")),
    (r"instances\.lent\.certificate", check_ids("binding.report_data")),
    (r"instances\.lent\.gpu(_evidence)?", check_ids("gpu.nonce_bound binding.distinct_instances")),
    *ENDORSER_GUARDS,
)
"""Regular expression for a place, and the ids; the first match counts."""
