"""A worker serves one epoch: when that is over, so is the worker, and its successor begins with nothing remembered."""

from collections.abc import Callable

from chatd.interfaces.bus import IRhythm
from chatd.interfaces.epochs import IEpochs
from chatd.records.epochs import Epoch
from chatd.store.connection import Connection
from chatd.store.epochs import EpochChanged, look

LOOK_SECONDS = 2.0

OVER = (
    "the database is no longer of the epoch {epoch}: it was restored, moved or promoted, or an operator began another"
    " one; who starts now serves that"
)


class EpochWatch:
    """Looks in ``rhythm``; ``over`` is told, once, when another epoch has begun or should have.

    ``begin`` comes first, when the database is up to date. ``current`` is empty before, and does not change after.
    """

    def __init__(self, epochs: IEpochs, rhythm: IRhythm, over: Callable[[EpochChanged], None]) -> None:
        self._epochs = epochs
        self._over = over
        self._told = False
        self.current = ""
        rhythm.every(LOOK_SECONDS, self._look)

    async def begin(self) -> None:
        """Serve the epoch that holds now; raises a ServerError, and may be called again then."""
        self.current = await self._epochs.settle()

    async def admit(self, connection: Connection) -> None:
        """Look at a new session before it is used: it may lead to a database that took the place of another one.

        Raises EpochChanged, and whatever else shows that it is not to be used.
        """
        if not self._goes_on(await look(connection)):
            raise EpochChanged("it is of another epoch")

    async def _look(self) -> None:
        """Sessions live on where the epoch is renewed, or tables are restored, beneath them."""
        self._goes_on(await self._epochs.current())

    def _goes_on(self, epoch: Epoch) -> bool:
        if epoch.holds and epoch.name == self.current:
            return True
        if not self._told:
            self._told = True
            self._over(EpochChanged(OVER.format(epoch=self.current)))
        return False
