"""Tests of Chutes."""
