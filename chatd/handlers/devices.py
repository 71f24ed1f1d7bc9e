"""A person's devices: which there are, and ending them.

What others call a session is a device here: it has a name, a place in every log, and shows tokens.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from chatd.errors import Conflict, Forbidden, Invalid
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, draft, told_as
from chatd.handlers.revisions import Changed, changed
from chatd.interfaces.bus import IBus
from chatd.interfaces.devices import IDeviceStore
from chatd.interfaces.log import ILog
from chatd.records.devices import EndDevices, TokensRevoked
from chatd.records.logs import Appended, Entry
from chatd.state.authors import Authors
from chatd.state.queues import queue_roster
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, DeviceId


class DeviceContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of an ending: the device that was ended, or the one that was kept."""

    device: str


class DeviceEnded(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="device.ended"):
    """A device of yours was ended: what it has shown of tokens is no longer taken."""

    device: DeviceId | None = None
    unreadable: bool = False


class OtherDevicesEnded(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="device.others_ended"):
    """All of your devices but ``kept`` were ended."""

    kept: DeviceId | None = None
    unreadable: bool = False


def _others_ended(entry: Entry, content: DeviceContent | None) -> LogEvent:
    return OtherDevicesEnded(
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        kept=content.device if content else None,
        unreadable=content is None,
    )


ENDED = Kind("device.ended", DeviceContent, told_as(DeviceEnded, author=None))
OTHERS_ENDED = Kind("device.others_ended", DeviceContent, _others_ended)


class ListDevices(Command, frozen=True, kw_only=True, tag="device.list"):
    """All of the caller's devices."""


class ListedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device, when it first and last showed a token, and whether it is the one that asks.

    ``last_at`` may be ten minutes behind.
    """

    device: DeviceId
    first_at: datetime
    last_at: datetime
    current: bool


class DeviceList(Reply, frozen=True, kw_only=True):
    """The devices by name, as far as they have not been ended."""

    devices: list[ListedDevice]


class EndDevice(Command, frozen=True, kw_only=True, tag="device.end"):
    """``device`` is the one to end; it may be the one that asks."""

    client_id: ClientId
    device: DeviceId


class EndOtherDevices(Command, frozen=True, kw_only=True, tag="device.end_others"):
    """The device that asks is kept."""

    client_id: ClientId


class Devices:
    """The commands about devices. Revocations are kept for ``kept_seconds``, the longest that any token lives."""

    def __init__(
        self,
        log: ILog,
        store: IDeviceStore,
        authors: Authors,
        bus: IBus,
        now: Callable[[], datetime],
        *,
        kept_seconds: float,
    ) -> None:
        self._log = log
        self._store = store
        self._authors = authors
        self._bus = bus
        self._now = now
        self._kept_seconds = kept_seconds

    @command(ListDevices, reply=DeviceList, route=Route("GET", "/v1/devices"), errors=())
    async def list(self, caller: Caller, ask: ListDevices) -> DeviceList:
        """List one's devices."""
        return DeviceList(
            devices=[
                ListedDevice(
                    device=found.device,
                    first_at=found.first_at,
                    last_at=found.last_at,
                    current=found.device == caller.device,
                )
                for found in await self._store.devices(caller.user)
            ]
        )

    @command(
        EndDevice,
        reply=Changed,
        route=Route("POST", "/v1/devices/{device}/end"),
        errors=(Invalid, Conflict),
        emits=(DeviceEnded,),
        ordered_by=lambda caller, ask: "devices",
        hands_on=True,
        example={"client_id": "c6", "device": "tablet"},
    )
    async def end(self, caller: Caller, ask: EndDevice) -> Awaitable[Changed]:
        """End a device: whatever tokens it has shown are revoked, and its connections are closed within a second.

        It comes back only with a token that is issued later. A token that the caller's own connection shows as well
        is spared.
        """
        return await self._end(caller, ask.client_id, ENDED, ask.device, device=ask.device)

    @command(
        EndOtherDevices,
        reply=Changed,
        route=Route("POST", "/v1/devices/end_others"),
        errors=(Invalid, Forbidden, Conflict),
        emits=(OtherDevicesEnded,),
        ordered_by=lambda caller, ask: "devices",
        hands_on=True,
        example={"client_id": "c7"},
    )
    async def end_others(self, caller: Caller, ask: EndOtherDevices) -> Awaitable[Changed]:
        """Revoke all of one's tokens but the one shown here, and close whatever they have opened, within a second.

        The token has to have a `jti`, by which it can be told from the others. Under the same `client_id` it is a
        `conflict` from another device, whose others are not the same.
        """
        if caller.token_id is None:
            raise Forbidden("Your token has no `jti`: it cannot be told from the others.")
        return await self._end(caller, ask.client_id, OTHERS_ENDED, caller.device, device=None)

    async def _end(
        self, caller: Caller, client_id: str, kind: Kind, named: str, *, device: str | None
    ) -> Awaitable[Changed]:
        now = self._now().timestamp()
        change = draft(
            kind,
            DeviceContent(device=named),
            author=caller.user,
            client_id=client_id,
            key=await self._authors.writing(caller.user),
            roster=queue_roster(caller.user),
            begins=True,
            effects=(
                EndDevices(
                    user=caller.user,
                    device=device,
                    kept=caller.device,
                    spared=None if device == caller.device else caller.token_id,
                    issued_until=now,
                    kept_until=now + self._kept_seconds,
                ),
            ),
        )
        return self._ended(self._log.append(change))

    async def _ended(self, committed: Awaitable[Appended]) -> Changed:
        done = await changed(committed)
        self._bus.signal(TokensRevoked())
        return done
