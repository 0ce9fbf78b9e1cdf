"""Derivation: evidence and endorsements as bytes become claims. Pure and total; `teeverify.checks` judges."""
