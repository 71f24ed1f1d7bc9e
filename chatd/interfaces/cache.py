"""What workers share to save time."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface


class ICache(Interface):
    """Values by name, for a while. It may lose, delay, mix up and make up: nothing in it is needed or trusted.

    It never fails. Where it is away, slow or full, nothing is found and nothing is kept. Only
    :class:`~chatd.state.shelf.Shelf` uses it, which seals what it puts here and looks at what it gets; names and
    values tell nothing by themselves.
    """

    def get(names: Sequence[str]) -> Awaitable[list[bytes | None]]:
        """The value of each name, None where there is none to be had; within a fraction of a second."""

    def put(name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so long at most, in place of the one before it. Nobody waits for it."""

    def forget(names: Sequence[str]) -> None:
        """Keep nothing under these names. Nobody waits for it; whoever must be sure checks what is found later."""
