"""``chatctl epoch``: what there is to do when a backup was restored."""

from argparse import Namespace
from collections.abc import Awaitable, Callable

from chatd.ctl.terminal import Terminal, Trouble
from chatd.interfaces.epochs import IEpochs
from chatd.store.epochs import UNKNOWN
from chatd.workers.epoch_watch import LOOK_SECONDS


class EpochCommands:
    """Each raises Trouble for what is not as it should be."""

    def __init__(self, epochs: IEpochs, terminal: Terminal) -> None:
        self._epochs = epochs
        self._terminal = terminal

    @property
    def commands(self) -> dict[str, Callable[[Namespace], Awaitable[None]]]:
        """By name."""
        return {"epoch status": self.status, "epoch renew": self.renew}

    async def status(self, asked: Namespace) -> None:
        """The epoch, and whether the database is still where it began."""
        epoch = await self._epochs.current()
        self._terminal.result(
            {
                "epoch": epoch.name,
                "since": epoch.since.isoformat(),
                "began_at": epoch.place,
                "database_at": epoch.here,
                "holds": epoch.holds,
            },
            f"{epoch.name}  since {epoch.since.isoformat()}, at {epoch.place}",
        )
        if UNKNOWN in epoch.here:
            self._terminal.note(
                "not all of where this database is can be asked, so not every restored backup is noticed by itself:"
                " docs/deploy/postgresql.rst"
            )
        if not epoch.holds:
            raise Trouble(
                f"the database is at {epoch.here}: it was restored, moved or promoted since this epoch began; a chatd"
                " that is started begins another one"
            )

    async def renew(self, asked: Namespace) -> None:
        """Begin another epoch, which workers find out by themselves."""
        name = await self._epochs.renew()
        self._terminal.result(
            {"epoch": name},
            name,
            f"within {2 * LOOK_SECONDS:.0f} seconds workers that run end and are started again; clients resynchronise",
        )
