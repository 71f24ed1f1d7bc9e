"""What tokens say of people who have not yet said anything of themselves."""

from collections import OrderedDict
from datetime import UTC, datetime

import msgspec

from chatd.handlers.kinds import Reader
from chatd.handlers.profiles import PROFILE, ProfileContent, ProfilesChanged
from chatd.interfaces.bus import IBus
from chatd.interfaces.people import IProfileStore
from chatd.records.logs import Entry
from chatd.records.tokens import Claims
from chatd.state.authors import Authors
from chatd.state.exchange import Exchange
from chatd.state.ids import event_queue

NOBODYS_CLIENT_ID = ""
"""No client can give an empty one, so that nothing of a log opens as this, and this as nothing of a log."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Introductions:
    """Takes profiles from the claims ``name`` and ``picture``, as people come.

    A token changes a profile only where its person has given none themselves, and says something else than the one
    before it; an older token changes nothing, and a claim that is not there takes nothing away. What this worker has
    looked at is remembered, for ``capacity`` people, until their profiles change, so that whoever comes again costs
    nothing.
    """

    def __init__(
        self,
        store: IProfileStore,
        authors: Authors,
        reader: Reader,
        bus: IBus,
        exchange: Exchange,
        *,
        capacity: int = 100_000,
    ) -> None:
        self._store = store
        self._authors = authors
        self._reader = reader
        self._bus = bus
        self._capacity = capacity
        self._seen: OrderedDict[str, tuple[str | None, str | None]] = OrderedDict()
        exchange.listen(ProfilesChanged, self._forget)

    def are_news(self, claims: Claims) -> bool:
        """Whether there is anything to be looked at."""
        given = claims.name, claims.picture
        return given != (None, None) and self._seen.get(claims.user) != given

    async def introduce(self, claims: Claims) -> None:
        """Take what is to be taken. What fails is looked at again when they come again."""
        self._remember(claims)
        done = False
        try:
            await self._take(claims)
            done = True
        finally:
            if not done:
                self._seen.pop(claims.user, None)
        # Once more: that a profile was taken has just been told here too.
        self._remember(claims)

    def _remember(self, claims: Claims) -> None:
        self._seen[claims.user] = claims.name, claims.picture
        self._seen.move_to_end(claims.user)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def _forget(self, changed: ProfilesChanged) -> None:
        """They may have none any more, and nothing that was in it is kept."""
        for user in changed.users:
            self._seen.pop(user, None)

    async def _take(self, claims: Claims) -> None:
        found = await self._store.profiles([claims.user])
        if found and found[0].seq:
            return
        [before] = await self._reader.contents(found) if found else [None]
        before = before or ProfileContent()
        issued_at = claims.issued_at or 0.0
        after = ProfileContent(
            name=claims.name or before.name, avatar_url=claims.picture or before.avatar_url, issued_at=issued_at
        )
        same = (after.name, after.avatar_url) == (before.name, before.avatar_url)
        if same or issued_at < before.issued_at:
            return
        key = await self._authors.writing(claims.user)
        queue = event_queue(claims.user)
        profile = Entry(
            conversation=queue,
            seq=0,
            time=_LONG_AGO,
            author=claims.user,
            client_id=NOBODYS_CLIENT_ID,
            kind=PROFILE.name,
            sealed=key.seal(msgspec.msgpack.encode(after), queue, NOBODYS_CLIENT_ID),
        )
        if await self._store.claim(profile):
            self._bus.signal(ProfilesChanged(users=(claims.user,)))
