"""Long logs, made by SQL: a few messages that chatd sealed itself, and others between them that are never read.

A body is sealed for its author, its conversation and its ``client_id``, so it may be moved within its log and still
open. What lies between has the size of a message and cannot be opened: whoever reads it has read at the wrong place.
"""

from collections.abc import Sequence
from contextlib import closing

import psycopg2

_TAKE_OUT = """
CREATE TEMP TABLE kept AS
SELECT m.*, p.place FROM chatd.messages AS m
JOIN unnest(%(places)s::bigint[]) WITH ORDINALITY AS p (place, n) ON p.n = m.seq
WHERE m.conversation_id = %(conversation)s;
DELETE FROM chatd.messages WHERE conversation_id = %(conversation)s;
"""
# Every tenth of the others is in another thread, which begins with the second message.
_FILL = """
INSERT INTO chatd.messages (conversation_id, seq, at, author, client_id, sealed, thread_seq)
SELECT %(conversation)s, n, now(), 'nobody', 'filler-' || n, convert_to(repeat('x', %(bytes)s), 'UTF8'),
       CASE WHEN n %% 10 = 0 THEN 2 END
FROM generate_series(1, %(length)s) AS n WHERE NOT EXISTS (SELECT FROM kept WHERE place = n);
"""
_PUT_BACK = """
INSERT INTO chatd.messages (conversation_id, seq, at, author, client_id, sealed, thread_seq, pinned_seq)
SELECT conversation_id, place, at, author, client_id, sealed, thread_seq,
       CASE WHEN thread_seq IS NOT NULL THEN %(length)s END
FROM kept;
UPDATE chatd.conversations SET last_seq = %(length)s WHERE conversation_id = %(conversation)s;
DROP TABLE kept;
"""


def lengthen(dsn: str, conversation: str, places: Sequence[int], length: int, body_bytes: int) -> None:
    """Make a log of ``length`` messages: those that are there go to these places, in order.

    What is in a thread stays in it, and is pinned as well. Nobody may write into it meanwhile, nor afterwards.
    """
    of = {"conversation": conversation, "places": list(places), "length": length, "bytes": body_bytes}
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        for statement in (_TAKE_OUT, _FILL, _PUT_BACK):
            cursor.execute(statement, of)
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE chatd.messages")
