"""Devices and revoked tokens in memory."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace
from zope.interface import implementer

from chatd.interfaces.devices import IDeviceStore
from chatd.records.devices import Device, EndDevices, Revocation, Sighting
from chatd.records.logs import Entry


class DeviceTables:
    """What is kept. Tokens are by person, device and ``jti``, revocations by person, device and token."""

    def __init__(self) -> None:
        self.devices: dict[tuple[str, str], Device] = {}
        self.shown: dict[tuple[str, str, str], float] = {}
        self.revocations: dict[tuple[str, str | None, str | None], tuple[datetime, Revocation]] = {}

    def revoke(self, at: datetime, one: Revocation) -> None:
        key = one.user, one.device, one.token_id
        if key in self.revocations:
            before = self.revocations[key][1]
            one = replace(
                one,
                issued_until=max(one.issued_until, before.issued_until),
                kept_until=max(one.kept_until, before.kept_until),
            )
        self.revocations[key] = at, one


@implementer(IDeviceStore)
class MemoryDevices:
    """See :class:`~chatd.interfaces.devices.IDeviceStore`. ``database`` is a MemoryDatabase."""

    def __init__(self, database: Any) -> None:
        self._database = database

    @property
    def _tables(self) -> DeviceTables:
        tables: DeviceTables = self._database.device_tables
        return tables

    async def note(self, sighting: Sighting) -> None:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        tables, now = self._tables, self._database.now()
        key = sighting.user, sighting.device
        first = tables.devices[key].first_at if key in tables.devices else now
        tables.devices[key] = Device(device=sighting.device, first_at=first, last_at=now)
        if sighting.token_id is not None:
            tables.shown[*key, sighting.token_id] = sighting.expires_at

    async def devices(self, user: str) -> list[Device]:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        return [device for (owner, _), device in sorted(self._tables.devices.items()) if owner == user]

    async def revocations(self, within: float | None = None) -> list[Revocation]:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        kept, now = self._tables.revocations.values(), self._database.now()
        if within is None:
            return [one for _, one in kept if one.kept_until > now.timestamp()]
        return [one for at, one in kept if at > now - timedelta(seconds=within)]

    async def prune(self) -> None:
        """See :class:`~chatd.interfaces.devices.IDeviceStore`."""
        end = (self._database.now() - timedelta(hours=1)).timestamp()
        kept = self._tables.revocations
        for key in [key for key, (_, one) in kept.items() if one.kept_until < end]:
            del kept[key]


def end_devices(database: Any, effect: EndDevices, entry: Entry) -> None:
    """Write :class:`~chatd.records.devices.EndDevices`."""
    tables: DeviceTables = database.device_tables
    ended = [key for key in tables.devices if key[0] == effect.user and _ends(effect, key[1])]
    shown = [key for key in tables.shown if key[0] == effect.user and key[2] != effect.spared]
    if effect.device is not None:
        shown = [key for key in shown if key[1] == effect.device]
    mark = Revocation(
        user=effect.user,
        device=effect.device,
        spared=effect.spared if effect.device is None else None,
        issued_until=effect.issued_until,
        kept_until=effect.kept_until,
    )
    tables.revoke(entry.time, mark)
    for user, device, token_id in shown:
        expires_at = tables.shown.pop((user, device, token_id))
        if effect.device is not None:
            one = Revocation(user=user, token_id=token_id, issued_until=effect.issued_until, kept_until=expires_at)
            tables.revoke(entry.time, one)
    for key in ended:
        del tables.devices[key]


def _ends(effect: EndDevices, device: str) -> bool:
    return device == effect.device if effect.device is not None else device != effect.kept
