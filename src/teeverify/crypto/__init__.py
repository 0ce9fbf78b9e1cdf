"""Cryptography: one thin function per primitive. The only room that names a crypto library; imports are lazy."""
