"""The database as ``chatctl`` uses it: a small pool, and one line about what is wrong where it cannot be used."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg2
from twisted.internet.defer import maybeDeferred

from chatd.ctl.terminal import Trouble
from chatd.errors import ServerError, Unavailable
from chatd.settings.model import Settings
from chatd.store.failures import SessionError, first_line
from chatd.store.log import BY_INDEX
from chatd.store.migrate import Migration, load
from chatd.store.pool import Pool
from chatd.store.transaction import rows

STATEMENT_SECONDS = 300.0
"""How long one statement may take: those that count all keys take longer than what clients wait for."""


@asynccontextmanager
async def database(
    settings: Settings, reactor: Any, migrations: Sequence[Migration] | None = None
) -> AsyncIterator[Pool]:
    """A pool on the database of these settings, which fits this version. Raises Trouble, also for what fails inside."""
    try:
        pool = Pool(
            reactor,
            settings.database.dsn.reveal(),
            size=2,
            connect_timeout=settings.database.connect_timeout,
            statement_timeout=STATEMENT_SECONDS,
            application_name="chatctl",
        )
    except ValueError as error:
        raise Trouble(f"database.dsn is not a connection string: {first_line(error)}") from error
    try:
        await _check(pool, load() if migrations is None else migrations)
        pool.prepare((BY_INDEX,))
        pool.startService()
        yield pool
    except (psycopg2.Error, SessionError, ServerError) as error:
        raise Trouble(f"the database failed: {_reason(error)}; run the same command again to go on") from error
    finally:
        if pool.running:
            await maybeDeferred(pool.stopService)


async def _check(pool: Pool, migrations: Sequence[Migration]) -> None:
    """Whether the tables are those that this version knows."""
    try:
        connection = await pool.dedicated()
    except Unavailable as error:
        raise Trouble(f"PostgreSQL cannot be reached: {_reason(error)}") from error
    try:
        [[present]] = rows(await connection.run("SELECT to_regclass('chatd.migrations') IS NOT NULL"))
        applied = rows(await connection.run("SELECT count(*) FROM chatd.migrations"))[0][0] if present else 0
    finally:
        connection.end(SessionError("it was looked at"))
    if applied < len(migrations):
        raise Trouble(
            f"the database is at {applied}, this chatctl wants {len(migrations)}: start chatd of this version once,"
            " which brings the database up to date"
        )
    if applied > len(migrations):
        raise Trouble(f"the database is at {applied}, this chatctl knows up to {len(migrations)}: use that of chatd")


def _reason(error: Exception) -> str:
    return first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
