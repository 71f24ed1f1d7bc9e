"""``chatctl search``: what there is to do about the index of messages."""

from argparse import Namespace
from collections.abc import Awaitable, Callable

from chatd.ctl.reindexing import Reindexing
from chatd.ctl.terminal import Terminal, Trouble
from chatd.handlers.catalogue import KINDS
from chatd.handlers.kinds import Reader
from chatd.records.logs import Entry
from chatd.security.keyring import Keyring, MasterKeys
from chatd.security.sealing import Unreadable
from chatd.settings.model import Search
from chatd.state.authors import SERVER, Authors
from chatd.store.keys import PostgresKeys
from chatd.store.pool import Pool
from chatd.store.reindexing import PostgresReindexing


class SearchCommands:
    """Each raises Trouble for what is not as it should be."""

    def __init__(self, pool: Pool, masters: MasterKeys, search: Search, terminal: Terminal) -> None:
        self._store = PostgresReindexing(pool)
        self._authors = Authors(PostgresKeys(pool), Keyring(masters))
        self._search = search
        self._terminal = terminal

    @property
    def commands(self) -> dict[str, Callable[[Namespace], Awaitable[None]]]:
        """By name."""
        return {"search reindex": self.reindex}

    async def reindex(self, asked: Namespace) -> None:
        """Index the messages that are not."""
        if not self._search.enabled:
            raise Trouble("search.enabled is off: let chatd search first, so that what is written meanwhile is indexed")
        unreadable: list[tuple[Entry, str]] = []
        count = 0

        def note(entry: Entry, reason: str) -> None:
            nonlocal count
            count += 1
            if not unreadable:
                unreadable.append((entry, reason))

        try:
            key = await self._authors.writing(SERVER)
        except Unreadable as error:
            raise Trouble(f"the server's own data key does not open: {error}; use chatd's master keys") from error
        progress = self._terminal.progress("places looked at")
        reader = Reader(KINDS, self._authors, note)
        reindexing = Reindexing(self._store, self._authors, reader, key, self._search.max_tokens, progress.show)
        indexed = await reindexing.run()
        progress.end()
        self._terminal.result({"indexed": indexed, "unreadable": count}, f"{indexed} messages were indexed")
        for entry, reason in unreadable:
            raise Trouble(
                f"{count} messages cannot be opened and are not found, the first of them {entry.conversation}"
                f" {entry.seq}: {reason}"
            )
