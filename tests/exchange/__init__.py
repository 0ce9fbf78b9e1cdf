"""Tests of signed exchanges."""
