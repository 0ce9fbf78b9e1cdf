"""Derivation: evidence and endorsements as bytes become claims. Pure and total; judging happens in `teeverify.checks`."""
