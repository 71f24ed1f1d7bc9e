"""Array literals: whatever goes in comes out of PostgreSQL again, in its place."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatd.store.arrays import bytea_array, plain_array, text_array

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=40),
    st.text(st.sampled_from("\\\"'{},%$ \n\r\t\v;()x0NULL🙂\u202e\u0301"), max_size=20),
    st.sampled_from(["", "NULL", "null", "{}", "{NULL}", "\\x", "%s", "\\", '"', "\u2028", "a\nb", " a "]),
)


@pytest.fixture(scope="module")
def cursor(cluster) -> Iterator[Any]:
    with closing(psycopg2.connect(cluster.dsn())) as connection, connection.cursor() as cursor:
        yield cursor


def several(elements):
    return given(st.lists(elements, max_size=12))


def quickly(test):
    return settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])(test)


def of_postgres(cursor, literal, type):
    cursor.execute(f"SELECT e FROM unnest(%s::{type}[]) WITH ORDINALITY AS a (e, n) ORDER BY n", (literal,))
    return [row[0] for row in cursor.fetchall()]


@quickly
@several(TEXTS)
def test_texts_come_back_unharmed(cursor, texts):
    assert of_postgres(cursor, text_array(texts), "text") == texts


@quickly
@several(st.binary(max_size=40))
def test_bytes_come_back_unharmed(cursor, values):
    assert [bytes(value) for value in of_postgres(cursor, bytea_array(values), "bytea")] == values


@quickly
@several(st.integers(-(2**63), 2**63 - 1))
def test_numbers_come_back_unharmed(cursor, numbers):
    assert of_postgres(cursor, plain_array(numbers), "bigint") == numbers


@quickly
@several(st.uuids())
def test_ids_come_back_unharmed(cursor, ids):
    assert of_postgres(cursor, plain_array(ids), "uuid") == [str(id) for id in ids]


@quickly
@several(st.tuples(TEXTS, st.binary(max_size=5), TEXTS))
def test_columns_stay_beside_each_other(cursor, rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    cursor.execute(
        "SELECT a, b, c FROM unnest(%s::text[], %s::bytea[], %s::text[]) WITH ORDINALITY AS r (a, b, c, n) ORDER BY n",
        (text_array(columns[0]), bytea_array(columns[1]), text_array(columns[2])),
    )
    assert [(a, bytes(b), c) for a, b, c in cursor.fetchall()] == rows
