"""Claims: what was derived from the bytes of one attesting environment, ready to be judged (RFC 9334)."""
