"""Whether anybody is there."""

from collections.abc import Callable
from datetime import datetime

from chatd.handlers.caller import Caller
from chatd.wire.commands import Command, Reply, Route, command


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    """For clients that cannot send a WebSocket ping, such as browsers."""


class Pong(Reply, frozen=True, kw_only=True):
    """``time`` is this server's clock."""

    time: datetime


class Liveness:
    """The command ``ping``."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    @command(Ping, reply=Pong, route=Route("GET", "/v1/ping"), counts_as="passing")
    async def ping(self, caller: Caller, ping: Ping) -> Pong:
        """Ask for a sign of life."""
        return Pong(time=self._now())
