"""The fault of the moment."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from .fault import Fault

__all__ = ["FaultBox"]

F = TypeVar("F", bound=Fault)


class FaultBox(Generic[F]):
    """Holds the fault of the moment, for everybody who has to know."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: F | None = None

    @property
    def fault(self) -> F | None:
        """The fault of the moment, None for the truth."""
        with self._lock:
            return self._fault

    @fault.setter
    def fault(self, fault: F | None) -> None:
        with self._lock:
            self._fault = fault
