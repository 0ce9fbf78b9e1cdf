"""NEAR AI: the checks of which one must refuse a change at each place of a saved session.

Places are written as in `report_rules`. What NEAR's reports have in common with others stands in `report_guards`.
"""

from __future__ import annotations

from typing import Final

from .endorser_rules import check_ids
from .report_guards import FORM, REPORT_GUARDS

__all__ = ["NEAR_GUARDS"]

NEAR_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    (r"request\.url\.include_tls_fingerprint", check_ids("binding.report_data")),
    (r"request\.url\.model", check_ids("evidence.complete")),
    (r"request\.(method|url\.(host|scheme|path))", check_ids(f"{FORM} binding.report_data")),
    (r"\w+\.model_name", check_ids("evidence.complete")),
    (
        r"\w+\.ohttp_attestation(\.(signing_algo|signing_key|key_config|signature))?",
        check_ids("binding.e2ee_key evidence.wellformed"),
    ),
    (r"\w+\.ohttp_key_config", check_ids("binding.e2ee_key")),
    *REPORT_GUARDS,
)
"""Regular expression for a place, and the ids; the first match counts."""
