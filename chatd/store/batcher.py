"""Group commit: what arrives while a batch is under way becomes the next one.

There are no timers. Alone, an item is committed at once; under load, the batches grow until one commit serves
hundreds, which is what makes a durable reply affordable.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

from chatd.errors import ChatdError, Internal, Overloaded, Unavailable
from chatd.store.refusals import Refused

MAX_BATCH = 256
"""Items in one transaction: beyond this a larger batch gains little, and each waits longer for its commit."""

PATIENCE_SECONDS = 10.0
"""How long an item may have waited when its turn comes: about what a client waits for a reply."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Waiting(Generic[Item, Result]):
    """An item and whoever waits for its result."""

    __slots__ = ("item", "result", "since", "verdict")

    def __init__(self, item: Item, since: float) -> None:
        self.item = item
        self.since = since
        self.result: Deferred[Result] = Deferred()
        self.verdict: Result | ChatdError | None = None

    def settle(self, verdict: Result | ChatdError) -> None:
        """Tell the verdict, once."""
        self.verdict = verdict
        if isinstance(verdict, ChatdError):
            self.result.errback(verdict)
        else:
            self.result.callback(verdict)


class Batcher(Generic[Item, Result]):
    """Hands items to ``commit`` in their order, one batch at a time.

    ``commit`` settles every item of its batch, or raises:

    - ``Refused`` while nothing of what it left unsettled was done: that is then split until the guilty item alone
      gets ``Internal``;
    - ``Unavailable``: all who wait are told, since each would wait as long to hear the same;
    - any other ChatdError: told to those that it left unsettled;
    - anything else: told to them as ``Internal``.

    At most ``max_waiting`` items wait; one more is refused with ``Overloaded``, and so is who has waited for
    ``patience`` seconds when its turn comes: while the database is slow, whoever waits behind others' timeouts would
    be answered long after its client has given up. ``failed`` is told of what becomes ``Internal``; it does not raise.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Waiting[Item, Result]]], Awaitable[None]],
        *,
        max_waiting: int,
        failed: Callable[[BaseException], None],
        max_batch: int = MAX_BATCH,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._commit = commit
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._failed = failed
        self._patience = patience
        self._clock = clock
        self._waiting: list[Waiting[Item, Result]] = []
        self._busy = False

    @property
    def waiting(self) -> int:
        """How many items are not yet on their way."""
        return len(self._waiting)

    def submit(self, item: Item) -> Deferred[Result]:
        """Have ``item`` committed after all that were submitted before."""
        waiting: Waiting[Item, Result] = Waiting(item, self._clock())
        if len(self._waiting) >= self._max_waiting:
            waiting.settle(Overloaded(retry_after_ms=1000))
            return waiting.result
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            # Not lost: _carry tells every failure to those who wait.
            Deferred.fromCoroutine(self._run())
        return waiting.result

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
            latest = self._clock() - self._patience
            if batch[0].since < latest:
                _settle([waiting for waiting in batch if waiting.since < latest], Overloaded(retry_after_ms=1000))
                batch = [waiting for waiting in batch if waiting.verdict is None]
            if batch:
                await self._carry(batch)
        self._busy = False

    async def _carry(self, batch: Sequence[Waiting[Item, Result]]) -> None:
        try:
            await self._commit(batch)
        except Refused as refused:
            await self._narrow([waiting for waiting in batch if waiting.verdict is None], refused)
        except Unavailable as error:
            waiting, self._waiting = self._waiting, []
            _settle([*batch, *waiting], error)
        except ChatdError as error:
            _settle(batch, error)
        except Exception as unforeseen:
            self._failed(unforeseen)
            _settle(batch, Internal())

    async def _narrow(self, batch: Sequence[Waiting[Item, Result]], refused: Refused) -> None:
        if len(batch) <= 1:
            self._failed(refused.__cause__ or refused)
            _settle(batch, Internal())
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._carry(half)


def _settle(batch: Sequence[Waiting[Item, Result]], error: ChatdError) -> None:
    for waiting in batch:
        if waiting.verdict is None:
            waiting.settle(error)
