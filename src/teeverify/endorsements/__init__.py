"""Endorsements: which answers of Intel and NVIDIA a piece of evidence needs, as requests for the flow."""
