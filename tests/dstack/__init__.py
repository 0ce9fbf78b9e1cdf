"""Tests of what dstack images and machines must measure."""
