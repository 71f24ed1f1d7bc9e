"""The log writer: from drafts to committed, numbered, published entries.

What arrives while a batch is in flight is committed as the next batch. The common case, plain messages, takes
one statement; the unique index of the receipts finds repeats, and only a batch that it refuses is looked at more
closely. Everything else, and messages whose author's rights have changed meanwhile, is decided in the transaction.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from zope.interface import implementer

from chatd.errors import ChatdError, OutcomeUnknown, Overloaded
from chatd.interfaces.bus import IBus
from chatd.interfaces.log import ILog, ILogStore
from chatd.records.logs import Appended, Draft, Publication
from chatd.records.rosters import Roster
from chatd.state.directory import Directory, RosterChanged
from chatd.store.batcher import Batcher, Waiting
from chatd.store.entries import placed, plain
from chatd.store.refusals import Repeated

ATTEMPTS = 3
"""How often a batch whose outcome is unknown, or that met a repeat being committed elsewhere, is tried."""

MAX_DOUBTFUL = 100_000
"""Of how many logs a writer remembers that they may hold what was never published."""

Pending = Waiting[Draft, Appended]
Store = Callable[[Sequence[Draft]], Awaitable[Sequence[Appended | ChatdError | None]]]
Index = Callable[[Sequence[Draft]], Awaitable[Sequence[Draft]]]


@implementer(ILog)
class LogWriter:
    """One per worker. ``failed`` is told of every unforeseen exception.

    ``index`` gives messages the tokens that they are found by; without it they are found by none.
    """

    def __init__(
        self,
        store: ILogStore,
        bus: IBus,
        directory: Directory,
        *,
        max_waiting: int,
        failed: Callable[[BaseException], None],
        index: Index | None = None,
    ) -> None:
        self._store = store
        self._index = index
        self._bus = bus
        self._directory = directory
        self._failed = failed
        self._doubtful: dict[str, None] = {}
        self._batcher: Batcher[Draft, Appended] = Batcher(self._commit, max_waiting=max_waiting, failed=failed)

    @property
    def waiting(self) -> int:
        """How many drafts are not yet on their way."""
        return self._batcher.waiting

    def append(self, draft: Draft) -> Deferred[Appended]:
        """See :class:`~chatd.interfaces.log.ILog`."""
        return self._batcher.submit(draft)

    async def _commit(self, batch: Sequence[Pending]) -> None:
        """Commit the first of each name, then answer its echoes from what became of it."""
        while batch:
            firsts, echoes = _apart(batch)
            await self._append(list(firsts.values()))
            others = []
            for echo in echoes:
                first = firsts[_name(echo)]
                if first.item.digest == echo.item.digest and first.verdict is not None:
                    echo.settle(first.verdict)
                else:
                    others.append(echo)
            batch = await self._unknown(others)

    async def _append(self, batch: Sequence[Pending]) -> None:
        """Commit drafts that differ in name: plain messages in one stroke, then what has to be looked at."""
        plain = _plain(batch)
        if plain:
            await self._store_all(plain, self._store.append)
        others = [pending for pending in batch if pending.verdict is None]
        if others:
            await self._store_all(others, self._change)

    async def _change(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError]:
        """With the rosters that are known by now, so that they need not be read again, however many are in them."""
        return await self._store.change([self._up_to_date(draft) for draft in drafts])

    def _up_to_date(self, draft: Draft) -> Draft:
        elsewhere = tuple(replace(one, roster=self._latest(one.roster)) for one in draft.elsewhere)
        return replace(draft, roster=self._latest(draft.roster), elsewhere=elsewhere)

    def _latest(self, roster: Roster) -> Roster:
        known = self._directory.known(roster.conversation)
        return known if known is not None and known.access > roster.access else roster

    async def _store_all(self, batch: Sequence[Pending], store: Store) -> None:
        """Settle everything that ``store`` answers."""
        doubt: OutcomeUnknown | None = None
        try:
            for _ in range(ATTEMPTS):
                try:
                    drafts: Sequence[Draft] = [pending.item for pending in batch]
                    verdicts = await store(drafts if self._index is None else await self._index(drafts))
                except Repeated:
                    pass
                except OutcomeUnknown as unknown:
                    doubt = unknown
                else:
                    self._settle(batch, verdicts, found=False)
                    return
                batch = await self._unknown(batch)
                if not batch:
                    return
            raise Overloaded(retry_after_ms=200)
        except ChatdError as error:
            if doubt is None:
                raise
            raise doubt from error
        finally:
            if doubt is not None:
                self._doubt(_logs(pending.item for pending in batch if pending.verdict is None))

    async def _unknown(self, batch: Sequence[Pending]) -> list[Pending]:
        """Answer those that stand in the log already; the rest is new.

        What is found may have been committed by a batch whose reply was lost, or by a worker that died before it
        could publish: so it is published, perhaps not for the first time.
        """
        if not batch:
            return []
        found = await self._store.repeats([pending.item for pending in batch])
        known = [(pending, place) for pending, place in zip(batch, found, strict=True) if place is not None]
        known.sort(key=lambda one: one[1].seq if isinstance(one[1], Appended) else 0)
        self._settle([pending for pending, _ in known], [place for _, place in known], found=True)
        return [pending for pending, place in zip(batch, found, strict=True) if place is None]

    def _settle(
        self, batch: Sequence[Pending], verdicts: Sequence[Appended | ChatdError | None], *, found: bool
    ) -> None:
        """Reply, then publish: the author hears of the commit first. Without a verdict nothing has been stored."""
        publications: list[Publication] = []
        for pending, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, Appended):
                if verdict.roster is not None:
                    self._learn(pending.item, verdict)
                publications += self._publications(pending.item, verdict, found=found)
            if verdict is not None:
                pending.settle(verdict)
        if publications:
            self._publish(publications, found=found)

    def _learn(self, draft: Draft, appended: Appended) -> None:
        """Keep the rosters as they are now, and tell the other workers where that is not what was known."""
        before = (draft.roster, *(one.roster for one in draft.elsewhere))
        # Of a repeat there are none.
        for old, roster in zip(before, (appended.roster, *appended.elsewhere), strict=False):
            if roster is not None:
                self._directory.learn(roster)
                if roster.access != old.access:
                    self._signal(RosterChanged(conversation=roster.conversation, access=roster.access))

    def _signal(self, changed: RosterChanged) -> None:
        try:
            self._bus.signal(changed)
        except Exception as unforeseen:
            # An edge, like publishing.
            self._failed(unforeseen)

    def _publications(self, draft: Draft, appended: Appended, *, found: bool) -> Iterator[Publication]:
        """What was ``found`` goes out without its content, so that nobody is offered it: it may be as old as the log.

        Where it was missed it is read from there.
        """
        # Of a repeat the notices are not looked up: they stand in queues, whose readers have synced or will.
        notices = zip(draft.notices, appended.notices, strict=False)
        first = placed(draft, appended.seq, appended.time)
        moved = appended.conversation != draft.conversation
        if moved:
            # A repeat that would go into another log by now: its place says nothing of that one.
            first = replace(first, conversation=appended.conversation)
        for one, entry in [(draft, first), *notices]:
            own = one is draft
            roster = appended.roster if own and appended.roster is not None else one.roster
            audience = appended.audience if own and appended.audience is not None else one.audience
            if own and moved and (known := self._directory.known(appended.conversation)) is not None:
                roster, audience = known, known.members
            changed = appended.changed if own else ()
            yield Publication(
                entry=entry,
                audience=audience,
                content=None if found else one.content,
                doubtful=found or (bool(self._doubtful) and entry.conversation in self._doubtful),
                access=roster.access,
                came=tuple(user for user in changed if _begins(roster, user, entry.seq)),
                gone=tuple(user for user in changed if user in audience and user not in roster.members),
            )

    def _publish(self, publications: Sequence[Publication], *, found: bool) -> None:
        """What was found again says nothing of what else is missing, and takes no doubt away."""
        try:
            self._bus.publish(publications)
        except Exception as unforeseen:
            # An edge: what is committed is committed, whatever becomes of its news.
            self._failed(unforeseen)
            self._doubt(publication.entry.conversation for publication in publications)
        else:
            for publication in publications if self._doubtful and not found else ():
                self._doubtful.pop(publication.entry.conversation, None)

    def _doubt(self, conversations: Iterable[str]) -> None:
        """Remember logs that may hold what nobody here has seen, the oldest going first."""
        self._doubtful.update(dict.fromkeys(conversations))
        while len(self._doubtful) > MAX_DOUBTFUL:
            del self._doubtful[next(iter(self._doubtful))]


def _begins(roster: Roster, user: str, seq: int) -> bool:
    """Whether this is the first of the log that is theirs, as a member."""
    membership = roster.members.get(user)
    return membership is not None and membership.since == seq - 1


def _name(pending: Pending) -> tuple[str, str]:
    return pending.item.author, pending.item.client_id


def _apart(batch: Iterable[Pending]) -> tuple[dict[tuple[str, str], Pending], list[Pending]]:
    """The first of each author and client_id, and the repeats within the batch."""
    firsts: dict[tuple[str, str], Pending] = {}
    echoes = [pending for pending in batch if firsts.setdefault(_name(pending), pending) is not pending]
    return firsts, echoes


def _plain(batch: Sequence[Pending]) -> list[Pending]:
    """Those that can go in one stroke: messages that are allowed as far as is known.

    In each conversation all of them or none, since they keep their order.
    """
    access: dict[str, int] = {}
    special: set[str] = set()
    for draft in (pending.item for pending in batch):
        known = access.setdefault(draft.conversation, draft.roster.access)
        if known != draft.roster.access or not plain(draft) or not _allowed(draft):
            special.add(draft.conversation)
    return [pending for pending in batch if pending.item.conversation not in special]


def _allowed(draft: Draft) -> bool:
    try:
        return draft.decide(draft.roster, 0) is draft.roster
    except ChatdError:
        return False


def _logs(drafts: Iterable[Draft]) -> Iterator[str]:
    """All logs that these drafts would have changed."""
    for draft in drafts:
        yield draft.conversation
        for notice in draft.notices:
            yield notice.conversation
