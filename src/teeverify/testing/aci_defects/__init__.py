"""Named faults of ACI services: of the report, of receipts, and of the sessions behind an aggregator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .edits import edit_defects
from .model import AciDefect, ReceiptDefect
from .receipts import receipt_defects
from .services import service_defects

__all__ = ["ACI_DEFECTS", "RECEIPT_DEFECTS", "AciDefect", "ReceiptDefect"]

ACI_DEFECTS: Final[Mapping[str, AciDefect]] = {defect.name: defect for defect in (*service_defects(), *edit_defects())}
"""All faults of reports, by name."""
RECEIPT_DEFECTS: Final[Mapping[str, ReceiptDefect]] = {defect.name: defect for defect in receipt_defects()}
"""All faults of receipts and sessions, by name."""
