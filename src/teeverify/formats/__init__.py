"""Formats: bytes to values and back. Pure, total and bounded; the only error raised is `FormatError`."""
