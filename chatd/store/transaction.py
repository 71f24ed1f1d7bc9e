"""A transaction as an ``async def``: committed if it returns, rolled back if it raises."""

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg2

from chatd.store.connection import Connection
from chatd.store.failures import CommitLost, Lost, SessionError

P = ParamSpec("P")
T = TypeVar("T")


class Cursor:
    """What an interaction runs its statements with, one after the other.

    ``execute`` raises psycopg2's errors, after which only ROLLBACK is left to do, and `SessionError`. An interaction
    lets pass what it did not expect.
    """

    __slots__ = ("_connection", "_result")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._result: Any = None

    async def execute(self, sql: str, params: Any = None) -> Self:
        """Run one statement, as `Connection.run` does; its rows are then fetched from here."""
        self._result = await self._connection.run(sql, params)
        return self

    async def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement and give all of its rows."""
        return (await self.execute(sql, params)).fetchall()

    def fetchall(self) -> list[tuple[Any, ...]]:
        return rows(self._result)

    def fetchone(self) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._result.fetchone()
        return row

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def rowcount(self) -> int:
        return int(self._result.rowcount)


Interaction = Callable[Concatenate[Cursor, P], Awaitable[T]]


def rows(result: Any) -> list[tuple[Any, ...]]:
    """All rows of psycopg2's cursor; none for a statement that gives none."""
    if result.description is None:
        return []
    fetched: list[tuple[Any, ...]] = result.fetchall()
    return fetched


async def transact(connection: Connection, interaction: Interaction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``interaction`` between BEGIN and COMMIT on a connection that nobody else uses meanwhile.

    Raises what it raised, after ROLLBACK; `CommitLost` if the answer to COMMIT did not arrive; RuntimeError if it
    swallowed the error of a statement, because PostgreSQL then answers COMMIT with ROLLBACK and no complaint.
    """
    await connection.run("BEGIN")
    try:
        result = await interaction(Cursor(connection), *args, **kwargs)
    except Exception:
        await _roll_back(connection)
        raise
    try:
        committed = await connection.run("COMMIT")
    except Lost as lost:
        raise CommitLost(*lost.args) from lost
    if committed.statusmessage != "COMMIT":
        raise RuntimeError("an interaction swallowed the error of a statement; it was rolled back")
    return result


async def _roll_back(connection: Connection) -> None:
    """Leave the transaction, or else the connection: the server then does the same."""
    if not connection.alive:
        return
    try:
        await connection.run("ROLLBACK")
    except (psycopg2.Error, SessionError) as error:
        connection.end(error)
