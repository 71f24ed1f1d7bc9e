"""Devices, and tokens that are no longer taken."""

from collections.abc import Awaitable

from zope.interface import Interface

from chatd.records.devices import Device, Revocation, Sighting


class IDeviceStore(Interface):
    """People's devices, and what is no longer taken of their tokens."""

    def note(sighting: Sighting) -> Awaitable[object]:
        """Remember that a device has shown a token."""

    def devices(user: str) -> Awaitable[list[Device]]:
        """A person's devices, in the order of their code points."""

    def revocations(within: float | None = None) -> Awaitable[list[Revocation]]:
        """What was revoked within so many seconds, or all that still matters. What is being committed may be missing.

        Written by :class:`~chatd.records.devices.EndDevices`.
        """

    def prune() -> Awaitable[object]:
        """Delete revocations of which everything has expired."""
