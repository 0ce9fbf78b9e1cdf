"""Tests of the verdict cache, of single flight and of the endorsement cache."""
