"""ML-KEM-768 encapsulation keys (FIPS 203, sections 7.2 and 8): 1184 bytes, of which 1152 hold 768 coefficients."""

from __future__ import annotations

from typing import Final

from ..errors import FormatError
from .encodings import decode_base64

__all__ = ["ML_KEM_768_KEY_SIZE", "parse_ml_kem_768_key"]

ML_KEM_768_KEY_SIZE: Final = 1184
_COEFFICIENT_BYTES: Final = 1152
_MODULUS: Final = 3329


def parse_ml_kem_768_key(text: object, *, what: str) -> bytes:
    """Read a key from its canonical base64 and apply the modulus check of FIPS 203, section 7.2.

    Only one spelling is accepted, since the text itself is hashed and the bytes are encrypted to.

    Raises:
        FormatError: ``not_base64``, ``wrong_length``, or ``ml_kem_modulus`` for a coefficient that is too large.
    """
    key = decode_base64(text, what=what, limit=ML_KEM_768_KEY_SIZE)
    if len(key) != ML_KEM_768_KEY_SIZE:
        raise FormatError("wrong_length", f"{what} is {len(key)} bytes long, {ML_KEM_768_KEY_SIZE} were expected")
    for place in range(0, _COEFFICIENT_BYTES, 3):
        first, second, third = key[place : place + 3]
        if (first | (second & 0x0F) << 8) >= _MODULUS or (second >> 4 | third << 4) >= _MODULUS:
            raise FormatError("ml_kem_modulus", f"{what} holds a coefficient that is not below {_MODULUS}")
    return key
