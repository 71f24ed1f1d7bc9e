"""A conversation that takes as long to open as a test likes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2


@contextmanager
def being_opened_elsewhere(dsn: str, conversation: str) -> Iterator[None]:
    """Another transaction has begun to open this conversation, and takes its time before it gives up."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO chatd.conversations (conversation_id, kind) VALUES (%s, 'direct')", (conversation,))
        yield
        connection.rollback()
