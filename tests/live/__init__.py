"""Tests of live verification."""
