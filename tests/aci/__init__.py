"""Attested confidential inference (ACI): documents, verdicts, receipts."""
