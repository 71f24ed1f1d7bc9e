"""How workers tell each other, and what they do every so often."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from zope.interface import Interface

from chatd.records.base import Signal
from chatd.records.logs import Publication
from chatd.wire.events import EphemeralEvent


class IBus(Interface):
    """How committed changes and passing notices reach all connections. It may lose, repeat and reorder."""

    def publish(publications: Sequence[Publication]) -> None:
        """Called by the log writer after a commit, in log order for each conversation."""

    def notify(users: Collection[str], event: EphemeralEvent) -> None:
        """Tell these people's connections in passing."""

    def signal(signal: Signal) -> None:
        """Tell every worker, this one included."""

    def subscribe(
        receive: Callable[[Sequence[Publication]], None],
        notice: Callable[[Collection[str], EphemeralEvent], None],
        heed: Callable[[Signal], None],
    ) -> None:
        """Register this worker's hub and its exchange of signals; called once, before anything is published."""


class IRhythm(Interface):
    """What a worker does again and again while it runs, on monotonic time.

    A :exc:`~chatd.errors.ServerError` that is raised by what it calls is borne, since the next time comes; anything
    else is logged.
    """

    def seconds() -> float:
        """The time, of which only differences count."""

    def every(seconds: float, beat: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Call ``beat`` so often, and never again before it has ended.

        What it returns has it called now or, where that is under way, once more as soon as it has ended.
        """

    def at_end(farewell: Callable[[], Awaitable[None]]) -> None:
        """Call ``farewell`` when nothing else is called any more, while the database is still there."""
