"""Single flight: of many callers who ask for the same thing at once, one does the work and all get its result.

Callers may be threads, tasks of any number of event loops, and both at once. A caller who cannot wait for a flight
without waiting for himself does the work on his own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["SingleFlight"]

T = TypeVar("T")

_PATIENCE: Final = 1.0
"""Seconds after which one who waits for another event loop looks whether that loop still runs."""

_ABOARD: ContextVar[tuple[object, ...]] = ContextVar("teeverify_aboard", default=())
"""Marks of the flights whose work runs in this context; tasks and `asyncio.to_thread` inherit it from their parent."""


class _Flight(Generic[T]):
    """One piece of work under way; its members are guarded by the lock of the `SingleFlight`.

    ``loop`` carries it, or the thread ``thread`` where that is None. ``waiting`` counts its callers, the leader among
    them. ``results`` holds the one result once there is one.
    """

    __slots__ = ("error", "landed", "listeners", "loop", "mark", "pid", "results", "task", "thread", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.pid = os.getpid()
        self.mark = object()
        self.waiting = 1
        self.landed = threading.Event()
        self.listeners: list[Callable[[], None]] = []
        self.results: tuple[T, ...] = ()
        self.error: BaseException | None = None
        self.task: asyncio.Task[T] | None = None

    def is_lost(self) -> bool:
        """True when nothing drives the flight any more: its loop stopped or closed, or a fork left it behind."""
        return self.pid != os.getpid() or (self.loop is not None and not self.loop.is_running())

    def needs_caller(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """True when the flight may not land before this caller goes on; ``loop`` is None for a sync caller.

        A sync caller blocks the event loop that runs in his thread, if any. That loop may carry this flight, or one for
        which the carrier of this one is blocked; so inside an event loop nobody blocks for an asyncio flight.
        """
        if self.mark in _ABOARD.get():
            return True
        if self.loop is None:
            return self.thread == threading.get_ident()
        return loop is None and _inside_event_loop()

    def wait(self) -> None:
        """Block until the flight has landed or is lost."""
        if self.loop is None:
            self.landed.wait()
        else:
            while not self.landed.wait(_PATIENCE) and not self.is_lost():
                pass


class SingleFlight(Generic[T]):
    """Keeps at most one flight per key.

    The leader's exception goes to the leader alone; who waited for him starts over, and one of them leads next. An
    asyncio flight runs in a task of its own, in a copy of the first caller's context. It survives the cancellation of
    any caller and is cancelled when nobody waits for it any more. When its event loop stops or closes, those who wait
    elsewhere notice within a second and start over.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._lock = threading.Lock()

    def run(self, key: Hashable, work: Callable[[], T], accept: Callable[[T], bool]) -> T:
        """The result of ``work``, or of somebody's flight of the same key that ``accept`` takes.

        ``work`` may be run by one caller after another: it must look first whether its result is there already.
        Whatever it raises goes to the caller who ran it.
        """
        while True:
            flight, leads = self._board(key, None)
            if flight is None:
                return work()
            if leads:
                return self._lead(key, flight, work)
            try:
                flight.wait()
            finally:
                self._leave(key, flight)
            for result in flight.results:
                if accept(result):
                    return result

    async def run_async(self, key: Hashable, work: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
        """The same for asyncio; see `run`."""
        import asyncio

        loop = asyncio.get_running_loop()
        while True:
            flight, leads = self._board(key, loop)
            if flight is None:
                return await work()
            try:
                if leads:
                    flight.task = loop.create_task(_fly(flight.mark, work), name="teeverify flight")
                    flight.task.add_done_callback(partial(self._settle, key, flight))
                await self._landing(flight, loop)
            finally:
                self._leave(key, flight)
            if leads and flight.error is not None:
                raise flight.error
            for result in flight.results:
                if leads or accept(result):
                    return result

    def detach(self, key: Hashable | None = None) -> None:
        """Let later callers start afresh; flights of ``key`` (of all keys when None) go on for those who wait."""
        with self._lock:
            if key is None:
                self._flights.clear()
            else:
                self._flights.pop(key, None)

    def _board(self, key: Hashable, loop: asyncio.AbstractEventLoop | None) -> tuple[_Flight[T] | None, bool]:
        """The flight to wait for or to lead, and whether to lead; no flight where one would wait for himself."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is None or flight.is_lost():
                flight = self._flights[key] = _Flight(loop)
                return flight, True
            if flight.needs_caller(loop):
                return None, False
            flight.waiting += 1
            return flight, False

    def _lead(self, key: Hashable, flight: _Flight[T], work: Callable[[], T]) -> T:
        try:
            token = _ABOARD.set((*_ABOARD.get(), flight.mark))
            try:
                result = work()
            finally:
                _ABOARD.reset(token)
            flight.results = (result,)
            return result
        finally:
            self._land(key, flight)

    def _settle(self, key: Hashable, flight: _Flight[T], task: asyncio.Task[T]) -> None:
        """Take over what a flight's task came to, a cancellation before its first step included."""
        import asyncio

        flight.error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if flight.error is None:
            flight.results = (task.result(),)
        self._land(key, flight)

    async def _landing(self, flight: _Flight[T], loop: asyncio.AbstractEventLoop) -> None:
        """Wait until the flight has landed or is lost."""
        import asyncio

        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if flight.landed.is_set():
                return
            flight.listeners.append(lambda: _call_soon(loop, lambda: _resolve(future)))
        if flight.loop is None or flight.loop is loop:
            await future
            return
        while not future.done() and not flight.is_lost():
            await asyncio.wait({future}, timeout=_PATIENCE)

    def _leave(self, key: Hashable, flight: _Flight[T]) -> None:
        with self._lock:
            flight.waiting -= 1
            abandoned = flight.waiting == 0 and not flight.landed.is_set()
            if abandoned and self._flights.get(key) is flight:  # who comes now must not wait for a cancelled task
                del self._flights[key]
        if abandoned and flight.task is not None and flight.loop is not None:
            _call_soon(flight.loop, flight.task.cancel)

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        with self._lock:
            flight.landed.set()
            if self._flights.get(key) is flight:
                del self._flights[key]
            listeners, flight.listeners = flight.listeners, []
        for listener in listeners:
            listener()


async def _fly(mark: object, work: Callable[[], Awaitable[T]]) -> T:
    """The task of an asyncio flight; its context is its own, so the mark need not be taken back."""
    _ABOARD.set((*_ABOARD.get(), mark))
    return await work()


def _inside_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
        loop.call_soon_threadsafe(callback)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
