"""Every JSON document that is printed obeys the schema that is shipped."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from teeverify.cli import main
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.render.json_document import SCHEMA, json_schema, to_document, to_json
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome, Status

from .subjects import FIXTURES, NOW, roots

REPORTS: dict[str, Any] = {
    entry["name"]: entry for entry in json.loads((FIXTURES / "manifest.json").read_text("utf-8"))["reports"]
}


def _validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_the_schema_is_strict() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    good = to_document(_verdict("near-cloud"))
    validator = _validator()
    validator.validate(good)
    for changed in (
        {**good, "schema": "other"},
        {**good, "verified": "yes"},
        {**good, "outcome": "MAYBE"},
        {**good, "nonce": "xyz"},
        {**good, "extra": 1},
        {name: value for name, value in good.items() if name != "subjects"},
    ):
        assert not validator.is_valid(changed)


def _verdict(name: str) -> Any:
    entry = REPORTS[name]
    verifier = NearVerifier(Policy.load(FIXTURES / entry["policy"]), roots=roots())
    return verifier.verify_saved(SavedReport.load(FIXTURES / entry["file"]), now=NOW)


@pytest.mark.parametrize("name", REPORTS)
def test_every_fixture(name: str) -> None:
    verdict = _verdict(name)
    document = json.loads(to_json(verdict))
    _validator().validate(document)
    assert document["schema"] == SCHEMA
    assert document["verified"] is (verdict.outcome is Outcome.VERIFIED)
    assert [check["id"] for subject in document["subjects"] for check in subject["checks"]] == [
        check.id for check in verdict.checks
    ]
    assert {check["status"] for subject in document["subjects"] for check in subject["checks"]} <= {
        status.value for status in Status
    }


@pytest.mark.parametrize("at", ["recorded", "now", "1000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_command_line(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "verify",
        str(FIXTURES / "near-cloud.json"),
        "--policy",
        str(FIXTURES / "near-cloud.toml"),
        "--test-roots",
        str(FIXTURES / "roots"),
        "--json",
        "--at",
        at,
    ]
    code = main(arguments)
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    _validator().validate(document)
    assert shown.out.isascii()
    assert code == {"VERIFIED": 0, "REJECTED": 1, "INCONCLUSIVE": 3}[document["outcome"]]
