"""From a command to its handler: the one way in, whichever way it came.

A command that fails does so with a :exc:`~chatd.errors.ChatdError` and nothing else: what a handler did not foresee
is logged here with its cause, and told as ``internal``.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from time import perf_counter
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail

from chatd.errors import ChatdError, Internal
from chatd.handlers.caller import Caller
from chatd.security.sealing import Unreadable
from chatd.state.throttle import Allowance
from chatd.wire.commands import Command, Declaration, Reply, declarations
from chatd.wire.session import Auth

Observer = Callable[[str, str, float], None]
Limiter = Callable[[Allowance, Declaration], ChatdError | None]


class Lanes:
    """Turns by key: whoever enters a lane waits until those before it have left."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    async def enter(self, key: str) -> None:
        """Take a turn, waiting for it if need be."""
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = _Lane()
        else:
            turn: Deferred[None] = Deferred()
            lane.waiting.append(turn)
            await turn

    def leave(self, key: str) -> None:
        """End the turn. Whoever is next runs at once, but never inside another's turn, so the stack stays flat."""
        lane = self._lanes[key]
        lane.taken = False
        if lane.passing:
            return
        lane.passing = True
        while lane.waiting and not lane.taken:
            lane.taken = True
            lane.waiting.popleft().callback(None)
        lane.passing = False
        if not lane.taken:
            del self._lanes[key]


class _Lane:
    __slots__ = ("passing", "taken", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Deferred[None]] = deque()
        self.taken = True
        self.passing = False


class OrderedCaller(Caller, Protocol):
    """A caller whose commands keep an order."""

    @property
    def id(self) -> str:
        """What names it in the log: the connection or, over HTTP, the request."""

    @property
    def lanes(self) -> Lanes:
        """Its turns."""

    @property
    def allowance(self) -> Allowance:
        """What it may have."""


@dataclass(frozen=True)
class Way:
    """A declaration and the method that it leads to."""

    declaration: Declaration
    method: Callable[[Any, Any], Any]


class Router:
    """Leads each command to the handler that declared it.

    ``failed`` is told of every unforeseen exception, with the name of the command and who asked. ``observe``, if given,
    is told of every command that has been answered: its name, ``ok`` or the error's code, and the seconds by ``clock``.
    ``limit``, if given, says of each command whether it is too much, before anything else is done about it.
    """

    def __init__(
        self,
        handlers: Iterable[object],
        failed: Callable[[str, BaseException, OrderedCaller], None],
        *,
        observe: Observer | None = None,
        limit: Limiter | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._failed = failed
        self._observe = observe
        self._limit = limit
        self._clock = clock
        self._ways = {
            declaration.shape: Way(declaration, getattr(handler, declaration.method))
            for handler in handlers
            for declaration in declarations(type(handler))
        }

    @property
    def declarations(self) -> list[Declaration]:
        """All commands that there are."""
        return [way.declaration for way in self._ways.values()]

    def dispatch(self, caller: OrderedCaller, command: Command) -> Deferred[Reply]:
        """Carry out ``command``; fails with a ChatdError only."""
        way = self._ways[type(command)]
        if self._limit is not None and (refusal := self._limit(caller.allowance, way.declaration)) is not None:
            if self._observe is not None:
                self._observe(way.declaration.name, refusal.code, 0.0)
            return fail(refusal)
        carrying_out = self._carry_out(way, caller, command)
        if self._observe is not None:
            carrying_out = self._observed(self._observe, way.declaration.name, carrying_out)
        return Deferred.fromCoroutine(carrying_out)

    async def _observed(
        self, observe: Observer, name: str, carrying_out: Coroutine[Deferred[Any], Any, Reply]
    ) -> Reply:
        started, outcome = self._clock(), "ok"
        try:
            return await carrying_out
        except ChatdError as error:
            outcome = error.code
            raise
        finally:
            observe(name, outcome, self._clock() - started)

    async def _carry_out(self, way: Way, caller: OrderedCaller, command: Command) -> Reply:
        try:
            ordered_by = way.declaration.ordered_by
            if ordered_by is None:
                reply: Reply = await way.method(caller, command)
                return reply
            reply = await self._in_turn(way, caller, command, ordered_by(caller, command))
            return reply
        except ChatdError:
            raise
        except Unreadable as unreadable:
            self._failed(way.declaration.name, unreadable, caller)
            raise Internal("The data key of this person cannot be opened.") from unreadable
        except Exception as unforeseen:
            self._failed(way.declaration.name, unforeseen, caller)
            raise Internal from unforeseen

    async def _in_turn(self, way: Way, caller: OrderedCaller, command: Command, key: str) -> Any:
        lanes = caller.lanes
        await lanes.enter(key)
        try:
            result = await way.method(caller, command)
        finally:
            lanes.leave(key)
        return await result if way.declaration.hands_on else result


def command_union(declared: Iterable[Declaration]) -> Any:
    """The type of all that a WebSocket message may be: every command, and ``auth``."""
    return reduce(or_, (declaration.shape for declaration in declared), Auth)
