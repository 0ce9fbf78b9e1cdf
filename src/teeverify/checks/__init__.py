"""The checks: small pure functions that judge the claims of one subject against a policy.

A check does no I/O and reads no clock and no environment; times are claims. Each lives in the file of its theme and is
registered in the catalogue with its title, explanation, prerequisites, source and trust anchor.
"""
