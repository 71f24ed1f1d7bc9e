"""The store in its two forms, and what to put into it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec

from chatd.handlers import assembly
from chatd.records.logs import Draft, Entry
from chatd.records.rosters import Roster, plain_roster
from chatd.store import stores
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.presence import MemoryPresence
from chatd.store.migrate import load, migrate
from chatd.store.pool import Pool

_numbers = count(1)


class Said(msgspec.Struct, frozen=True):
    """The open form of a draft."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Stores(assembly.Stores):
    """The stores of one database. ``age`` has a conversation's last change lie further back, in seconds.

    ``expire`` has a worker's lease be so many seconds older.
    """

    age: Callable[[str, int], Awaitable[None]]
    expire: Callable[[str, float], Awaitable[None]]


def memory_stores(now: Callable[[], datetime]) -> Stores:
    """An empty store in memory."""
    database = MemoryDatabase(now)

    async def age(conversation: str, seconds: int) -> None:
        database.logs[conversation].last_at -= timedelta(seconds=seconds)

    made = stores.memory_stores(database)
    presence = MemoryPresence(database, now)

    async def expire(worker: str, seconds: float) -> None:
        presence.age(worker, seconds)

    return Stores(**{**vars(made), "presence": presence}, age=age, expire=expire)


def postgres_stores(pool: Pool, failed: Callable[[BaseException], None], *, max_waiting: int = 1000) -> Stores:
    """The stores of a database that :func:`migrated` has made ready."""

    async def age(conversation: str, seconds: int) -> None:
        await pool.query(
            "UPDATE chatd.conversations SET last_at = last_at - %s * interval '1 s' WHERE conversation_id = %s",
            (seconds, conversation),
            writes=True,
        )

    async def expire(worker: str, seconds: float) -> None:
        await pool.query(
            "UPDATE chatd.workers SET renewed_at = renewed_at - %(by)s * interval '1 s',"
            " expires_at = expires_at - %(by)s * interval '1 s' WHERE worker_id = %(worker)s",
            {"by": seconds, "worker": worker},
            writes=True,
        )

    made = stores.postgres_stores(pool, max_waiting=max_waiting, failed=failed)
    return Stores(**vars(made), age=age, expire=expire)


async def migrated(pool: Pool) -> Pool:
    """``pool``, with chatd's tables in its database and chatd's statements on its connections."""
    await migrate(pool, load())
    pool.prepare(stores.PREPARED)
    return pool


def new_id() -> str:
    """A conversation that nobody has used."""
    return str(uuid4())


def new_user(name: str = "alice") -> str:
    """A person whom nobody has seen."""
    return f"{name}-{uuid4().hex[:12]}"


def new_client_id() -> str:
    """A ``client_id`` that nobody has used."""
    return f"c{next(_numbers)}-{uuid4().hex[:8]}"


def draft(
    conversation: str,
    text: str = "hello",
    *,
    author: str = "alice",
    client_id: str | None = None,
    kind: str = "message.created",
    audience: tuple[str, ...] = ("alice", "bob"),
    sealed: bytes | None = None,
    roster: Roster | None = None,
    **more: Any,
) -> Draft:
    """A draft that says ``text``. It is not really sealed: the store does not look."""
    return Draft(
        conversation=conversation,
        author=author,
        client_id=client_id or new_client_id(),
        digest=sha256(f"{kind} {conversation} {text}".encode("utf-8", "replace")).digest()[:16],
        kind=kind,
        sealed=text.encode("utf-8", "replace") if sealed is None else sealed,
        roster=roster or plain_roster(conversation, "direct", audience),
        content=Said(text),
        **more,
    )


def notice(queue: str, reader: str, text: str = "news", *, author: str = "alice") -> Draft:
    """What goes into a person's event queue."""
    roster = plain_roster(queue, "queue", (reader,))
    return draft(queue, text, author=author, kind="conversation.created", roster=roster)


def texts(entries: Sequence[Entry]) -> list[str]:
    """What entries made of :func:`draft` say."""
    return [entry.sealed.decode() for entry in entries]


async def open_one(kept: Stores, *members: str, conversation: str | None = None) -> str:
    """A conversation of these people, of which nobody is told."""
    conversation = conversation or new_id()
    await kept.conversations.open(conversation, "direct", members or ("alice", "bob"), [])
    return conversation


async def say(kept: Stores, conversation: str, *said: str, author: str = "alice") -> None:
    """Put messages into a conversation."""
    await kept.log.append([draft(conversation, text, author=author) for text in said])
