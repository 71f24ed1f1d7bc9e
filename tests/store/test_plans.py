"""Every statement of the store finds its rows by an index: here are those that no other test looks at, and a census."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

import chatd.store
from chatd.store import (
    conversations,
    devices,
    epochs,
    erasure,
    keys,
    outcomes,
    pages,
    profiles,
    recent,
    reindexing,
    relations,
    token_revocations,
)
from chatd.store.arrays import bytea_array, nullable_array, plain_array, text_array
from chatd.store.log import BY_INDEX
from chatd.store.migrate import load
from tests.store import test_log_postgres, test_presence_postgres, test_search_postgres

NOW = "2026-01-01T00:00:00Z"
MANY = 20_000

FILL = f"""
CREATE SCHEMA chatd;
{"".join(migration.sql for migration in load())}
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
INSERT INTO chatd.conversations (conversation_id, kind, last_seq)
SELECT id(n), 'group', 100 FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.members (conversation_id, user_id) SELECT id(1), 'user-' || n FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.changes SELECT id(1), n, now(), 'message.edited', 'user-1', 'c' || n, n % 1000, 'x'
FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.data_keys SELECT 'user-' || n, '1', 'w' FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.profiles SELECT 'user-' || n, 1, now(), 'c', 'x' FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.devices SELECT 'user-' || n, 'phone' FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.shown_tokens SELECT 'user-' || n, 'phone', 't' || n, now() FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.revocations SELECT 'user-' || n, '', 't' || n, now(), '', now(), now()
FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.follows SELECT 'user-1', 'user-' || n, now() FROM generate_series(1, {MANY}) AS n;
INSERT INTO chatd.followers SELECT other_id, user_id, at FROM chatd.follows;
INSERT INTO chatd.blocks SELECT * FROM chatd.follows;
INSERT INTO chatd.blockers SELECT * FROM chatd.followers;
ANALYZE;
{BY_INDEX};
SET plan_cache_mode = force_generic_plan;
"""


def id(n: int) -> str:
    return f"00000000-0000-8000-8000-{n:012x}"


ENDING = {"user": "user-1", "device": "phone", "kept": "phone", "spared": "", "issued_until": 1.0, "kept_until": 2.0}
PLACES = (plain_array([id(1)] * 2), plain_array([8, 9]))
SAID = (*PLACES, text_array("ab"), text_array("cd"), bytea_array([b"", b""]))
PAIRS = (text_array(["user-1", "user-2"]), text_array(["user-3", "user-4"]))
WANTED = (*PAIRS, plain_array([True, False]))
STEP = {"conversation": id(1), "user": "user-1", "low": 0, "high": 2000, "until": NOW}
COLUMNS = ("member", "member", "0", None, None, None, None, False)
STATEMENTS: dict[str, tuple[str, Any]] = {
    "write messages": (outcomes.MESSAGES, (NOW, *SAID, nullable_array([None, 2]))),
    "write changes": (outcomes.CHANGES, (NOW, *SAID, text_array("kk"), nullable_array([None, 2]))),
    "write receipts": (
        outcomes.RECEIPTS,
        (NOW, *PLACES, text_array("ab"), text_array("cd"), bytea_array([b"", b""])),
    ),
    "advance logs": (outcomes.LOGS, (NOW, plain_array([id(1)]), plain_array([9]))),
    "change rights": (
        outcomes.RIGHTS,
        (
            *(plain_array([id(1)]), plain_array([1]), plain_array([2]), plain_array([3])),
            *(plain_array([False]), plain_array([False])),
            *(plain_array(["member"]) for _ in range(5)),
        ),
    ),
    "change memberships": (
        outcomes.MEMBERSHIPS,
        (plain_array([id(1)]), text_array(["user-1"]), *(nullable_array([column]) for column in COLUMNS)),
    ),
    "write mentions": (outcomes.MENTIONS, (PLACES[0], text_array("ab"), PLACES[1])),
    "edits": (pages.EDITS, (id(1), 7)),
    "add a key": (keys.ADD, ("new", "1", b"w")),
    "keys": (keys.KEYS, PAIRS[:1]),
    "destructions": (keys.DESTRUCTIONS, PAIRS[:1]),
    "new destructions": (keys.DESTROYED, (60.0,)),
    "master keys": (keys.MASTERS, None),
    "count keys": (keys.COUNTS, None),
    "a page of keys": (keys.PAGE, {"master": "1", "after": "user-5", "limit": 500}),
    "a page of all keys": (keys.PAGE, {"master": None, "after": None, "limit": 500}),
    "rewrap keys": (keys.REWRAP, (PAIRS[0], bytea_array([b"", b""]), PAIRS[0], bytea_array([b"", b""]))),
    "destroy a key": (keys.DESTROY, {"user": "user-1"}),
    "conversations to erase in": (erasure.CONVERSATIONS, ("user-1",)),
    "erase a profile": (erasure.PROFILE, ("user-1", NOW)),
    "messages to erase": (erasure.NAMED, STEP),
    "reactions to erase": (erasure.REACTED, STEP),
    "lock a conversation": (erasure.LOCK, (id(1),)),
    "read the epoch": (epochs.READ, ()),
    "settle the epoch": (epochs.SETTLE, {"epoch": "e", "place": "p"}),
    "renew the epoch": (epochs.RENEW, {"epoch": "e", "place": "p"}),
    "move the end of a log": (erasure.MOVE_END, (id(1),)),
    "until when to erase": (erasure.UNTIL, (5.0, "user-1")),
    "conversations to index": (reindexing.CONVERSATIONS, (id(1), 500)),
    "places to index": (reindexing.TOTAL, (id(0),)),
    "messages to index": (reindexing.UNINDEXED, (id(1), 0, 200)),
    "messages that still stand": (reindexing.STANDING, (plain_array([1, 2]), nullable_array([None, 5]), id(1))),
    "note devices": ("EXECUTE chatd_sighted (%s, %s, %s, %s)", (*PAIRS, text_array("tu"), plain_array([1.0, 2.0]))),
    "devices": (devices.DEVICES, ("user-1",)),
    "new revocations": (devices.NEW, (10.0,)),
    "all revocations": (devices.ALL, ()),
    "prune revocations": (devices.PRUNE, ()),
    "end a device": (devices.END, ENDING),
    "end all others": (devices.END_OTHERS, ENDING),
    "revoke tokens": (token_revocations.REVOKE, {**ENDING, "token_id": "t"}),
    "reaches": (conversations.REACHES, (text_array(["user-1", "user-2"]), 60)),
    "profiles": (profiles.PROFILES, (text_array(["user-1", "user-2"]),)),
    "write profiles": (
        profiles.GIVEN,
        (text_array(["user-1"]), plain_array([2]), text_array(["c"]), bytea_array([b""])),
    ),
    "claim a profile": (profiles.CLAIMED, ("user-1", "c", b"")),
    "ties": (relations.TIES, PAIRS),
    "write follows": (relations.WRITE_FOLLOWS, WANTED),
    "write blocks": (relations.WRITE_BLOCKS, WANTED),
    "blocks": (relations.BLOCKS, {"user": "user-2"}),
    "the outlook on a log": ("EXECUTE chatd_outlook (%s, %s)", (id(1), "user-1")),
    "the newest messages": (recent.NEWEST, {"conversation": id(1), "limit": 51}),
    "what is counted of them": (recent.COUNTS, {"conversation": id(1), "reader": "", "seqs": plain_array([8, 9])}),
    "one's own of those": (recent.OWN, (id(1), plain_array([8, 9]), "user-1")),
    **{f"a page of {side}": (page, ("user-1", "user-5", 21)) for side, page in relations.PAGES.items()},
}
COVERED = [
    statement
    for statements in (
        STATEMENTS,
        test_log_postgres.STATEMENTS,
        test_presence_postgres.STATEMENTS,
        test_search_postgres.STATEMENTS,
    )
    for statement, _ in statements.values()
]
# One row is inserted, and nothing is looked for.
WRITES_ONE_ROW = {"presence.BEGIN"}


@pytest.fixture(scope="module")
def filled(cluster: Any) -> Iterator[Any]:
    """A session like the pool's with a database that holds much."""
    with closing(psycopg2.connect(cluster.create_database())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(FILL)
        for statement in (*devices.PREPARED, *recent.PREPARED):
            cursor.execute(statement)
        yield cursor


def nodes(node: Any) -> list[Any]:
    return [node, *(found for child in node.get("Plans", ()) for found in nodes(child))]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_whole_table(filled: Any, name: str) -> None:
    statement, params = STATEMENTS[name]
    filled.execute(f"EXPLAIN (FORMAT JSON) {statement}", params)
    [[[explained]]] = filled.fetchall()
    scans = [node for node in nodes(explained["Plan"]) if node["Node Type"] in ("Seq Scan", "Bitmap Heap Scan")]
    assert [node["Relation Name"] for node in scans] == []


def test_the_next_page_of_people_is_read_in_the_order_of_its_index(filled: Any) -> None:
    for side, page in relations.PAGES.items():
        user, after = ("user-1", "user-5")
        filled.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {page}", (user, after, 21))
        [[[explained]]] = filled.fetchall()
        read = [n["Actual Rows"] + n.get("Rows Removed by Filter", 0) for n in nodes(explained["Plan"])]
        assert max(read) <= 21, side


def pieces(statement: str) -> list[str]:
    """The parts of a statement between what is put into it."""
    return [piece.strip() for piece in re.split(r"\{\w+\}", statement) if piece.strip()]


def is_covered(statement: str) -> bool:
    prepared = re.match(r"\s*PREPARE (\w+)", statement)
    if prepared:
        return any(one.startswith(f"EXECUTE {prepared[1]} ") for one in COVERED)
    return any(all(piece in one for piece in pieces(statement)) for one in COVERED)


def test_every_statement_of_the_store_is_among_those_whose_plans_are_looked_at() -> None:
    missing = []
    for module in pkgutil.iter_modules(chatd.store.__path__):
        if module.name in ("migrate", "migrations"):
            continue
        constants = vars(importlib.import_module(f"chatd.store.{module.name}"))
        for name, text in constants.items():
            says = isinstance(text, str) and name.isupper() and re.search(r"\b(FROM|INTO|UPDATE) chatd\.", text)
            if says and not is_covered(text) and f"{module.name}.{name}" not in WRITES_ONE_ROW:
                missing.append(f"{module.name}.{name}")
    assert missing == []
