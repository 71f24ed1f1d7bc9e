"""Batches for prepared statements, one array for each column."""

from typing import Any

import psycopg2

from chatd.store.pool import Pool
from chatd.store.refusals import Refused

UNFIT = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.errors.ProgramLimitExceeded,  # too long for an index
    ValueError,  # NUL or a lone surrogate, which psycopg2 does not send
)


async def execute(pool: Pool, statement: str, *columns: str) -> list[tuple[Any, ...]]:
    """Run a prepared statement that writes, and give its rows.

    Raises `Refused` where the database cannot hold what is in the columns, and what the pool raises.
    """
    places = ", ".join(["%s"] * len(columns))
    try:
        return await pool.query(f"EXECUTE {statement} ({places})", columns, writes=True, retry=True)
    except UNFIT as error:
        raise Refused from error
