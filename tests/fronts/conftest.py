"""The memory for pure work of tests/near, for the tests here that alter one captured session over and over."""

from near.conftest import pure_work_remembered

__all__ = ["pure_work_remembered"]
