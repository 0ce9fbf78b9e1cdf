"""Encryption to attested keys, which only a VERIFIED verdict mints."""
