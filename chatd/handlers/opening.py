"""How a conversation comes to be."""

from collections.abc import Sequence

from chatd.errors import Forbidden, OutcomeUnknown
from chatd.handlers.kinds import Content, Kind, draft, told_as
from chatd.interfaces.bus import IBus
from chatd.interfaces.conversations import IConversationStore
from chatd.interfaces.people import IRelations
from chatd.records.logs import Draft, Entry, Publication
from chatd.records.rosters import ConversationKind, Roster, plain_roster
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.ids import direct, event_queue
from chatd.state.queues import queue_roster
from chatd.state.relations import APART
from chatd.wire.events import LogEvent
from chatd.wire.types import ConversationId, UserId

MAX_DOUBTFUL = 10_000
"""Event queues of which is remembered that an opening may have reached them unheard."""


class CreatedContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What a ``conversation.created`` entry holds."""

    created: str
    kind: ConversationKind
    members: list[str]


class ConversationCreated(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.created"):
    """Somebody opened a conversation with you. It stands in your event queue, whose log ``conversation`` is.

    ``created`` is the new conversation; it is absent, with its members, where the entry is ``unreadable``.
    """

    by: UserId
    created: ConversationId | None = None
    kind: ConversationKind | None = None
    members: list[UserId] = []
    unreadable: bool = False


CREATED = Kind("conversation.created", CreatedContent, told_as(ConversationCreated))


class Opening:
    """Opens direct conversations: once, whoever comes first, and tells both people through their event queues."""

    def __init__(
        self, store: IConversationStore, directory: Directory, authors: Authors, bus: IBus, relations: IRelations
    ) -> None:
        self._store = store
        self._directory = directory
        self._authors = authors
        self._bus = bus
        self._relations = relations
        self._doubtful: dict[str, bool] = {}

    async def direct(self, user: str, other: str) -> Roster:
        """The roster of the conversation of these two, opened by ``user`` if it was not there and they may."""
        conversation = direct(user, other)
        roster = self._directory.known(conversation)
        doubtful = bool(self._doubtful) and self._in_doubt(user, other)
        if roster is None or not roster.opened:
            roster = await self._store.roster(conversation)
            if roster is None or not roster.opened:
                await self._relations.check_contact(user, other, "direct")
            elif not doubtful:
                self._directory.learn(roster)
                return roster
        elif not doubtful:
            return roster
        return await self._open(user, other, conversation)

    async def _open(self, user: str, other: str, conversation: str) -> Roster:
        begun = plain_roster(conversation, "direct", sorted({user, other}))
        created = await self._create(user, conversation, tuple(begun.members))
        self._directory.forget(conversation)
        if created:
            self._directory.learn(begun)
        roster = await self._directory.roster(conversation)
        if not roster.opened:
            # A block came in between.
            raise Forbidden(APART)
        return roster

    def _in_doubt(self, *people: str) -> bool:
        return any(event_queue(person) in self._doubtful for person in people)

    async def _create(self, user: str, conversation: str, members: tuple[str, ...]) -> bool:
        """Whether it was not there."""
        key = await self._authors.writing(user)
        content = CreatedContent(created=conversation, kind="direct", members=[*members])
        notices = [
            draft(
                CREATED,
                content,
                author=user,
                client_id=conversation,
                key=key,
                roster=queue_roster(member),
            )
            for member in members
        ]
        queues = [notice.conversation for notice in notices]
        try:
            entries = await self._store.open(conversation, "direct", members, notices)
        except OutcomeUnknown:
            self._doubt(queues)
            raise
        doubtful = {queue for queue in queues if self._doubtful.pop(queue, False)}
        self._bus.publish(
            [
                Publication(
                    entry=entry, audience=notice.audience, content=content, doubtful=notice.conversation in doubtful
                )
                for entry, notice in zip(entries, notices, strict=False)
            ]
        )
        if doubtful and not entries:
            await self._tell_of([notice for notice in notices if notice.conversation in doubtful])
        return bool(entries)

    def _doubt(self, queues: Sequence[str]) -> None:
        """Remember queues that may hold what nobody was told of, the oldest going first."""
        self._doubtful.update(dict.fromkeys(queues, True))
        while len(self._doubtful) > MAX_DOUBTFUL:
            del self._doubtful[next(iter(self._doubtful))]

    async def _tell_of(self, notices: Sequence[Draft]) -> None:
        """The opening whose outcome was unknown had taken place: have the queues read, since nobody was told."""
        for notice in notices:
            queue = await self._store.get(notice.conversation)
            if queue is not None:
                entry = Entry(
                    conversation=queue.conversation,
                    seq=queue.last_seq,
                    time=queue.last_at,
                    author=notice.author,
                    client_id=notice.client_id,
                    kind=notice.kind,
                    sealed=notice.sealed,
                )
                self._bus.publish([Publication(entry=entry, audience=notice.audience)])
