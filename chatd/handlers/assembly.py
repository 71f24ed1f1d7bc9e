"""All handlers of one worker, each given what it needs. A new handler class has its line here and in the catalogue."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chatd.handlers.conversations import Conversations
from chatd.handlers.devices import Devices
from chatd.handlers.history import History
from chatd.handlers.kinds import Reader
from chatd.handlers.liveness import Liveness
from chatd.handlers.messages import Messages, Sizes
from chatd.handlers.opening import Opening
from chatd.handlers.revisions import Revisions
from chatd.handlers.sync import Resuming
from chatd.handlers.tokens import Tokens as TokenHandlers
from chatd.interfaces import (
    IBus,
    IConversationStore,
    IDeviceStore,
    IKeyStore,
    ILog,
    ILogStore,
    IRelations,
    ITokenReader,
)
from chatd.settings import Limits, Tokens
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.hub import Hub


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Everything that is kept, behind its seams; all of them in one database."""

    log: ILogStore
    conversations: IConversationStore
    keys: IKeyStore
    devices: IDeviceStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the handlers of one worker stand on. ``now`` tells times that know their zone."""

    stores: Stores
    log: ILog
    bus: IBus
    hub: Hub
    exchange: Exchange
    directory: Directory
    authors: Authors
    reader: Reader
    relations: IRelations
    limits: Limits
    tokens: Tokens
    token_reader: ITokenReader
    now: Callable[[], datetime]


def assemble(parts: Parts) -> tuple[object, ...]:
    """One instance of each class in :data:`~chatd.handlers.catalogue.HANDLERS`."""
    stores, directory, authors, reader = parts.stores, parts.directory, parts.authors, parts.reader
    sizes = Sizes(parts.limits.max_text_chars, parts.limits.max_metadata_bytes)
    opening = Opening(stores.conversations, directory, authors, parts.bus)
    return (
        Messages(parts.log, directory, opening, authors, sizes=sizes),
        Revisions(
            parts.log,
            stores.log,
            directory,
            authors,
            reader,
            parts.now,
            sizes=sizes,
            edit_seconds=parts.limits.edit_seconds,
            delete_seconds=parts.limits.delete_seconds,
        ),
        History(stores.log, directory, reader),
        Conversations(stores.conversations, directory, parts.bus),
        Resuming(stores.log, stores.conversations, reader),
        Liveness(parts.now),
        Devices(parts.log, stores.devices, authors, parts.bus, parts.now, kept_seconds=parts.tokens.max_lifetime),
        TokenHandlers(
            parts.log, parts.token_reader, authors, parts.bus, parts.now, kept_seconds=parts.tokens.max_lifetime
        ),
    )
