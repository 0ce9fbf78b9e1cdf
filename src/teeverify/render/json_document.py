"""A verdict as one JSON document, schema ``teeverify.verdict/v1`` (``verdict.schema.json`` beside this file)."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

from ..saved import format_time
from ..verdict import AttestationVerdict, CheckResult, SubjectVerdict, VerifiedExchange

__all__ = [
    "EXCHANGE_SCHEMA",
    "SCHEMA",
    "check_document",
    "exchange_document",
    "exchange_schema",
    "json_schema",
    "to_document",
    "to_json",
]

SCHEMA: Final = "teeverify.verdict/v1"
EXCHANGE_SCHEMA: Final = "teeverify.exchange/v1"


def to_document(verdict: AttestationVerdict) -> dict[str, Any]:
    """The verdict as JSON values; times are RFC 3339 in UTC, the nonce and keys are hex."""
    document = {
        "schema": SCHEMA,
        "provider": verdict.provider,
        "model": verdict.model,
        "outcome": verdict.outcome.value,
        "verified": verdict.verified,
        "policy_digest": verdict.policy_digest,
        "nonce": verdict.nonce,
        "evaluated_at": format_time(verdict.evaluated_at),
        "expires_at": None if verdict.expires_at is None else format_time(verdict.expires_at),
        "trust_boundary": verdict.trust_boundary,
        "gaps": list(verdict.gaps),
        "subjects": [_subject(subject) for subject in verdict.subjects],
    }
    # Only there when true: a program that reads `verified` must be able to refuse it without searching texts.
    return {**document, "test_roots": True} if verdict.test_roots else document


def exchange_document(verdict: VerifiedExchange) -> dict[str, Any]:
    """The judgement of an exchange as JSON values, with its attestation inside; no prompt and no response is in it."""
    document = {
        "schema": EXCHANGE_SCHEMA,
        "provider": verdict.attestation.provider,
        "model": verdict.model,
        "chat_id": verdict.chat_id,
        "outcome": verdict.outcome.value,
        "verified": verdict.verified,
        "policy_digest": verdict.attestation.policy_digest,
        "request_sha256": verdict.request_digest,
        "response_sha256": verdict.response_digest,
        "signed_by": verdict.signed_by,
        "signer": verdict.signer,
        "evaluated_at": format_time(verdict.evaluated_at),
        "trust_boundary": verdict.trust_boundary,
        "gaps": list(verdict.gaps),
        "checks": [check_document(check) for check in verdict.checks],
        "attestation": to_document(verdict.attestation),
    }
    return {**document, "test_roots": True} if verdict.attestation.test_roots else document


def to_json(verdict: AttestationVerdict | VerifiedExchange) -> str:
    """The document as text: ASCII only, two spaces of indentation."""
    document = exchange_document(verdict) if isinstance(verdict, VerifiedExchange) else to_document(verdict)
    return json.dumps(document, indent=2)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every document of `to_document` satisfies."""
    return _schema("verdict.schema.json")


def exchange_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every document of `exchange_document` satisfies."""
    return _schema("exchange.schema.json")


def _schema(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _subject(subject: SubjectVerdict) -> dict[str, Any]:
    return {
        "id": subject.id,
        "role": subject.role,
        "outcome": subject.outcome.value,
        "attested_keys": [
            {"use": key.use, "algorithm": key.algorithm, "public_key": key.public_key, "address": key.address}
            for key in subject.attested_keys
        ],
        "checks": [check_document(check) for check in subject.checks],
    }


def check_document(check: CheckResult) -> dict[str, Any]:
    """The finding of one check as JSON values, the form that it has in every document."""
    return {
        "id": check.id,
        "status": check.status.value,
        "enforced": check.enforced,
        "reason": check.reason,
        "summary": check.summary,
        "expected": check.expected,
        "observed": check.observed,
        "anchor": check.anchor,
    }
