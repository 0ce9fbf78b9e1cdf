"""Tests of AWS Nitro enclaves."""
