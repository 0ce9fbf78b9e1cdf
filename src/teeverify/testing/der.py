"""A minimal DER writer (ITU-T X.690) for the extension values that no X.509 library builds."""

from __future__ import annotations

__all__ = ["boolean", "enumerated", "integer", "object_identifier", "octets", "sequence", "tlv", "utf8"]


def tlv(tag: int, body: bytes) -> bytes:
    """One element with a definite length."""
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def object_identifier(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    arcs = [int(arc) for arc in dotted.split(".")]
    out = bytearray([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        groups = [arc & 0x7F]
        rest = arc >> 7
        while rest:
            groups.append(0x80 | (rest & 0x7F))
            rest >>= 7
        out += bytes(reversed(groups))
    return tlv(0x06, bytes(out))


def integer(value: int) -> bytes:
    """INTEGER, non-negative, in its shortest form."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, value)


def boolean(value: bool) -> bytes:
    """BOOLEAN."""
    return tlv(0x01, b"\xff" if value else b"\x00")


def enumerated(value: int) -> bytes:
    """ENUMERATED, below 128."""
    return tlv(0x0A, bytes([value]))


def utf8(value: str) -> bytes:
    """UTF8String."""
    return tlv(0x0C, value.encode())


def sequence(*items: bytes) -> bytes:
    """SEQUENCE of the given elements."""
    return tlv(0x30, b"".join(items))
