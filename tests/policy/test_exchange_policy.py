"""[exchange]: who may sign, its digest, and how tools speak of it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from teeverify.errors import PolicyError
from teeverify.policy import ExchangePolicy, Policy
from teeverify.policy_diff import diff
from teeverify.policy_document import document_of
from teeverify.policy_lint import lint
from teeverify.policy_toml import to_toml

STRICT = Policy.builtin("near")
LOOSE = Policy.from_toml(to_toml(STRICT) + '\n[exchange]\nsigned_by = "gateway"\n')


def test_the_model_has_to_sign_unless_the_policy_says_otherwise() -> None:
    assert STRICT.exchange.signed_by == "model"
    assert LOOSE.exchange.signed_by == "gateway"
    spelled_out = Policy.from_toml(to_toml(STRICT) + '\n[exchange]\nsigned_by = "model"\n')
    assert spelled_out.digest == STRICT.digest


def test_digests_of_older_policies_stay_and_a_looser_one_has_its_own() -> None:
    assert "exchange" not in document_of(STRICT)
    assert LOOSE.digest != STRICT.digest
    assert document_of(LOOSE)["exchange"] == {"signed_by": "gateway"}


def test_it_survives_being_written() -> None:
    assert Policy.from_toml(to_toml(LOOSE)).digest == LOOSE.digest
    assert "[exchange]" not in to_toml(STRICT)


@pytest.mark.parametrize("text", ['signed_by = "anybody"', "signed_by = true", 'signer = "model"', "signed_by = []"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="exchange"):
        Policy.from_toml(to_toml(STRICT) + f"\n[exchange]\n{text}\n")


def test_values_of_python_obey_the_same_rule() -> None:
    with pytest.raises(PolicyError):
        ExchangePolicy(signed_by="both")


def test_the_difference_is_named() -> None:
    (looser,) = diff(STRICT, LOOSE)
    (stricter,) = diff(LOOSE, STRICT)
    assert (looser.direction, looser.key) == ("looser", "exchange.signed_by")
    assert stricter.direction == "stricter"


def test_lint_advises_against_it() -> None:
    at = datetime(2026, 7, 1, tzinfo=timezone.utc)
    assert any("exchange.signed_by" in sentence for sentence in lint(LOOSE, at))
    assert not any("exchange.signed_by" in sentence for sentence in lint(STRICT, at))


@pytest.mark.parametrize("check", ["exchange.request_digest", "exchange.response_digest", "exchange.signature",
                                   "exchange.signer_attested", "exchange.first_seen", "exchange.channel"])  # fmt: skip
def test_what_makes_an_exchange_cannot_be_waived(check: str) -> None:
    with pytest.raises(PolicyError, match="waive"):
        Policy.from_toml(to_toml(STRICT) + f'\n[[waive]]\ncheck = "{check}"\nreason = "no"\n')
