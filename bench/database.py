"""Looking into chatd's database from the side: whether what was acknowledged stands there."""

from contextlib import closing
from typing import Any

import psycopg2

from bench.errors import BenchError, Violation

# Every log must hold as many entries as its counter says, numbered from 1 without a hole.
_BROKEN_LOGS = """
SELECT count(*) FROM chatd.conversations AS c
LEFT JOIN (
    SELECT conversation_id, count(DISTINCT seq) AS entries, max(seq) AS last FROM (
        SELECT conversation_id, seq FROM chatd.messages UNION ALL SELECT conversation_id, seq FROM chatd.changes
    ) AS e GROUP BY conversation_id
) AS e USING (conversation_id)
WHERE (coalesce(e.entries, 0), coalesce(e.last, 0)) IS DISTINCT FROM (c.last_seq, c.last_seq)
"""
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def check_stored(dsn: str, acknowledged: int) -> None:
    """Raises Violation unless so many messages stand in logs without holes."""
    stored, broken = _values(dsn, "SELECT count(*) FROM chatd.messages", _BROKEN_LOGS)
    if stored != acknowledged or broken:
        raise Violation(f"{acknowledged} messages were acknowledged, {stored} are stored; {broken} logs have holes")


def check_durable(dsn: str) -> dict[str, str]:
    """PostgreSQL's version and settings that matter here; raises BenchError where a commit would not be durable."""
    names = ("server_version", *_DURABLE, "shared_buffers", "max_wal_size", "data_directory")
    shown = dict(zip(names, _values(dsn, *(f"SHOW {name}" for name in names)), strict=True))
    wrong = [name for name, value in _DURABLE.items() if shown[name] != value]
    if wrong:
        raise BenchError(f"PostgreSQL runs with {wrong[0]} {shown[wrong[0]]}")
    return shown


def _values(dsn: str, *queries: str) -> list[Any]:
    """What each of these queries, which give one value, gives."""
    values: list[Any] = []
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        for query in queries:
            cursor.execute(query)
            values += cursor.fetchone() or ()
    return values
