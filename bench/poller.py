"""Waiting for sockets: epoll, level-triggered."""

import select
from collections.abc import Callable
from typing import Protocol

_EVENTS_AT_ONCE = 1024


class Watched(Protocol):
    """What has a descriptor."""

    @property
    def fileno(self) -> int: ...


class Poller:
    """Calls back for each socket that can be read, or written while it is being connected."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], object]] = {}

    def watch(self, watched: Watched, readable: Callable[[], object]) -> None:
        """Call ``readable`` whenever there is something to read, instead of what was called before."""
        self._register(watched.fileno, select.EPOLLIN, readable)

    def watch_connect(self, watched: Watched, writable: Callable[[], object]) -> None:
        """Call ``writable`` when the connect has ended, one way or the other."""
        self._register(watched.fileno, select.EPOLLOUT, writable)

    def _register(self, fileno: int, events: int, callback: Callable[[], object]) -> None:
        if fileno in self._callbacks:
            self._epoll.modify(fileno, events)
        else:
            self._epoll.register(fileno, events)
        self._callbacks[fileno] = callback

    def forget(self, watched: Watched) -> None:
        """Watch this one no more; to be called before it is closed."""
        if self._callbacks.pop(watched.fileno, None) is not None:
            self._epoll.unregister(watched.fileno)

    def wait(self, seconds: float) -> None:
        """Wait at most so long (epoll counts in milliseconds), then call back for all that is ready."""
        callbacks = self._callbacks
        for fileno, _ in self._epoll.poll(seconds, _EVENTS_AT_ONCE):
            callbacks[fileno]()

    def wait_finely(self, seconds: float) -> None:
        """The same with microseconds: select counts in them, and an epoll can be selected."""
        ready, _, _ = select.select([self._epoll.fileno()], [], [], seconds)
        if ready:
            self.wait(0)

    def close(self) -> None:
        """Stop watching everything."""
        self._callbacks.clear()
        self._epoll.close()
