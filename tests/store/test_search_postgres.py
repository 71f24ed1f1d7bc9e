"""How PostgreSQL looks through the index of messages: by indexes alone, and no further than it is told to."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest

from chatd.records.search import FoundAt, Search
from chatd.state.ids import NIL
from chatd.store import outcomes
from chatd.store import search as search_store
from chatd.store.arrays import nullable_array, plain_array
from chatd.store.log import BY_INDEX
from chatd.store.migrate import load

CONVERSATIONS = 200
MESSAGES = 20_000
COMMON, OTHER, RARE, OFTEN = 1, 2, 3, 4
LIMIT = 21

# In the first conversation COMMON and OTHER never meet, RARE and COMMON do now and then. In all, OFTEN stands often.
FILL = f"""
CREATE SCHEMA chatd;
{"".join(migration.sql for migration in load())}
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION at(n int) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$ SELECT '2026-01-01 00:00:00+00'::timestamptz + n * interval '1 second' $$;
ALTER TABLE chatd.messages SET (autovacuum_enabled = off);
ALTER TABLE chatd.search_tokens SET (autovacuum_enabled = off);
INSERT INTO chatd.conversations (conversation_id, kind, last_seq)
SELECT id(n), 'direct', {MESSAGES} FROM generate_series(1, {CONVERSATIONS}) AS n;
INSERT INTO chatd.members (conversation_id, user_id)
SELECT id(n), 'user-' || u FROM generate_series(1, {CONVERSATIONS}) AS n, generate_series(1, 2) AS u;
INSERT INTO chatd.messages SELECT id(n), s, at(s), 'user-' || 1 + s % 2, 'c' || s, 'x'
FROM generate_series(1, 50) AS s, generate_series(2, {CONVERSATIONS}) AS n;
INSERT INTO chatd.search_tokens SELECT conversation_id, {OFTEN}, at, seq FROM chatd.messages;
ANALYZE;

-- The statistics know nothing of these.
INSERT INTO chatd.messages SELECT id(1), s, at(s), 'user-' || 1 + s % 2, 'd' || s, 'x'
FROM generate_series(1, {MESSAGES}) AS s;
INSERT INTO chatd.search_tokens SELECT id(1), CASE s % 2 WHEN 0 THEN {COMMON} ELSE {OTHER} END, at(s), s
FROM generate_series(1, {MESSAGES}) AS s;
INSERT INTO chatd.search_tokens SELECT id(1), {RARE}, at(s), s FROM generate_series(1, {MESSAGES}, 999) AS s;
{BY_INDEX};
"""


def id(n: int) -> str:
    return f"00000000-0000-8000-8000-{n:012x}"


def asked(*tokens: int, conversations: range = range(1, 2), **more: Any) -> tuple[str, Any]:
    """A search: its statement and parameters."""
    by_conversation = dict.fromkeys(map(id, conversations), tokens)
    more = {"reader": "user-1", "limit": LIMIT, "probes": 1000, **more}
    return search_store.SEARCH, search_store.parameters(Search(tokens=by_conversation, **more))


MIDDLE = FoundAt(time=datetime(2026, 1, 1, 3, tzinfo=UTC), conversation=NIL, seq=0)
SEARCHES = {
    "a common word": asked(COMMON),
    "a common word from the middle on": asked(COMMON, before=MIDDLE),
    "a rare word and a common one": asked(RARE, COMMON),
    "words that never meet": asked(COMMON, OTHER),
    "in all conversations": asked(OFTEN, conversations=range(1, CONVERSATIONS + 1)),
    "of a sender": asked(COMMON, sender="user-1"),
    "of a day": asked(COMMON, after=datetime(2025, 1, 1, tzinfo=UTC)),
}
STATEMENTS = {
    **SEARCHES,
    "searchable": (search_store.SEARCHABLE, ("user-1", NIL, 100)),
    "forget": (outcomes.FORGET, (plain_array([id(1)]), plain_array([2]))),
    "tokens": (
        outcomes.TOKENS,
        (plain_array([id(1)]), plain_array([9]), nullable_array([MIDDLE.time]), plain_array([2])),
    ),
}


@pytest.fixture(scope="module")
def filled(cluster: Any) -> Iterator[Any]:
    """A session like the pool's with a database that holds much."""
    with closing(psycopg2.connect(cluster.create_database())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(FILL)
        yield cursor


def plan(cursor: Any, statement: str, params: Any, options: str = "") -> list[Any]:
    cursor.execute(f"EXPLAIN (FORMAT JSON {options}) {statement}", params)
    [[[explained]]] = cursor.fetchall()
    return nodes(explained["Plan"])


def nodes(node: Any) -> list[Any]:
    return [node, *(found for child in node.get("Plans", ()) for found in nodes(child))]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_whole_table(filled: Any, name: str) -> None:
    found = plan(filled, *STATEMENTS[name])
    assert [node for node in found if node["Node Type"] in ("Seq Scan", "Bitmap Heap Scan")] == []
    assert any("Index" in node["Node Type"] or node["Node Type"] == "ModifyTable" for node in found)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_token_is_looked_up_by_everything_that_bounds_it(filled: Any, name: str) -> None:
    [lookup] = [node for node in plan(filled, *SEARCHES[name]) if node.get("Relation Name") == "search_tokens"]
    assert lookup["Index Name"] == "search_tokens_pkey"
    for bound in ("conversation_id = ", "token = ", "ROW(at, seq) < ROW("):
        assert bound in lookup["Index Cond"].replace('"', "")
    assert lookup["Filter"] == "(seq <@ w.seqs)"


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_costs_what_it_may(filled: Any, name: str) -> None:
    """However much there is: each lookup gives one entry, and there are as many as are allowed."""
    found = plan(filled, *SEARCHES[name], ", ANALYZE, TIMING OFF")
    [lookup] = [node for node in found if node.get("Relation Name") == "search_tokens"]
    allowed = SEARCHES[name][1]["steps"] * SEARCHES[name][1]["width"]
    assert lookup["Actual Loops"] <= allowed
    assert lookup["Actual Rows"] <= 1
    messages = [node for node in found if node.get("Relation Name") == "messages"]
    assert sum(node["Actual Loops"] for node in messages) <= 2 * LIMIT


def run(cursor: Any, statement: str, params: Any) -> list[Any]:
    cursor.execute(statement, params)
    return list(cursor.fetchall())


def test_the_rarest_word_sets_the_pace(filled: Any) -> None:
    """Of 20,000 messages with common words ten hold both, and all are found at once."""
    rows = run(filled, *asked(RARE, COMMON))
    assert [row[4] for row in rows] == [s for s in reversed(range(1, MESSAGES + 1, 999)) if s % 2 == 0]
    assert rows[0][:3] == (None, None, None)


def test_where_much_has_to_be_passed_over_the_search_says_how_far_it_came(filled: Any) -> None:
    [row] = run(filled, *asked(COMMON, OTHER))
    assert row[3] is None
    assert (row[1], MESSAGES - 600 < row[2] < MESSAGES - 400) == (id(1), True)
