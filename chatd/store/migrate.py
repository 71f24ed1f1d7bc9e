"""Numbered SQL files, each applied once, in order, whoever starts first.

A file ``NNNN_name.sql`` is plain SQL (``%`` has no meaning) and runs in one transaction together with its row in
``chatd.migrations``; so it contains neither BEGIN nor COMMIT, nor what cannot run within a transaction. Numbers start
at 1 and have no gaps. A file that has been applied is never changed again: its SHA-256 is compared.

Many processes may migrate at once: all wait for one advisory lock of the session, so the connection leads to
PostgreSQL itself or to a pooler that keeps sessions.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files

import psycopg2
from twisted.logger import Logger

from chatd.records.base import Record
from chatd.store.connection import Connection
from chatd.store.failures import SessionError, first_line, told
from chatd.store.pool import Pool
from chatd.store.transaction import Cursor, rows, transact

log = Logger()

LOCK = int.from_bytes(b"chatd")
"""The key of the advisory lock, which is shared by nothing else in the database."""

_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql", re.ASCII)

_CREATE = """
    CREATE SCHEMA IF NOT EXISTS chatd;
    CREATE TABLE chatd.migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""

_RECORD = "INSERT INTO chatd.migrations (version, name, checksum) VALUES (%s, %s, %s)"


class MigrationError(Exception):
    """The database and the files do not fit together; one line that says what to do. Trying again does not help."""


class Migration(Record, frozen=True, kw_only=True, gc=False):
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    @property
    def file(self) -> str:
        return f"{self.version:04}_{self.name}.sql"


class Applied(Record, frozen=True, kw_only=True, gc=False):
    """One row of ``chatd.migrations``."""

    version: int
    name: str
    checksum: str


def load(package: str = "chatd.store.migrations") -> list[Migration]:
    """The files of ``package``, in order. Raises MigrationError for a gap, a number used twice, or an odd name."""
    found = []
    for entry in files(package).iterdir():
        if not entry.name.endswith(".sql"):
            continue
        name = _FILE_NAME.fullmatch(entry.name)
        if name is None:
            raise MigrationError(f"{entry.name} is not named like 0001_words_of_its_subject.sql")
        found.append(Migration(version=int(name[1]), name=name[2], sql=entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.file)
    check_numbers(found)
    return found


def check_numbers(migrations: Sequence[Migration]) -> None:
    """Raise MigrationError unless the versions are 1, 2, 3 and so on."""
    for expected, migration in enumerate(migrations, start=1):
        if migration.version < expected:
            raise MigrationError(f"{migration.file} has a number that was used before")
        if migration.version > expected:
            raise MigrationError(f"{migration.file} comes next, but there is no {expected:04}")


def pending(migrations: Sequence[Migration], applied: Sequence[Applied]) -> Sequence[Migration]:
    """Those of ``migrations`` that ``applied``, in the order of their versions, lacks. Raises MigrationError."""
    if len(applied) > len(migrations):
        raise MigrationError(
            f"the database is at {applied[-1].version}, this chatd knows up to {len(migrations)}:"
            " upgrade chatd or restore"
        )
    for migration, row in zip(migrations, applied, strict=False):
        if row.version != migration.version:
            raise MigrationError(f"the database has {row.version:04} but lacks {migration.file}: restore")
        if row.checksum != migration.checksum:
            raise MigrationError(f"{migration.file} was changed after it had been applied: put it back as it was")
    return migrations[len(applied) :]


async def migrate(pool: Pool, migrations: Sequence[Migration]) -> int:
    """Apply what is missing, on a connection beside ``pool``, and give the number of files applied.

    The pool need not run. Raises MigrationError; or a ServerError that is retryable, if the database is out of
    reach, full or read-only: each file has then been applied whole or not at all, and the call may be repeated.
    """
    check_numbers(migrations)
    connection = await pool.dedicated(unbounded=True)
    try:
        return await _migrate(connection, migrations)
    except (psycopg2.Error, SessionError) as error:
        answer = told(error, writes=False)
        if answer is None:
            raise MigrationError(f"the database cannot be migrated: {first_line(error)}") from error
        raise answer from error
    finally:
        connection.end(SessionError("the migrations are over"))


async def _migrate(connection: Connection, migrations: Sequence[Migration]) -> int:
    # The lock comes before anything is created: even CREATE SCHEMA IF NOT EXISTS fails if two do it at once.
    await connection.run("SELECT pg_advisory_lock(%s)", (LOCK,))
    missing = pending(migrations, await _applied(connection))
    for migration in missing:
        await transact(connection, _apply, migration)
        log.info("applied {file}", file=migration.file)
    return len(missing)


async def _applied(connection: Connection) -> list[Applied]:
    """All rows by version; creates the table if there is none, which alone needs the right to create."""
    [[present]] = rows(await connection.run("SELECT to_regclass('chatd.migrations') IS NOT NULL"))
    if not present:
        await connection.run(_CREATE)
    table = await connection.run("SELECT version, name, checksum FROM chatd.migrations ORDER BY version")
    return [Applied(version=version, name=name, checksum=checksum) for version, name, checksum in rows(table)]


async def _apply(cursor: Cursor, migration: Migration) -> None:
    try:
        await cursor.execute(migration.sql)
    except psycopg2.Error as error:
        if told(error, writes=False) is not None:
            raise
        raise MigrationError(f"{migration.file} was refused: {first_line(error)}") from error
    if not cursor.in_transaction:
        raise MigrationError(f"{migration.file} ends the transaction that it is to run in: restore, and mend it")
    await cursor.execute(_RECORD, (migration.version, migration.name, migration.checksum))
