"""Searching, from the socket to the index in PostgreSQL and back."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from tests.kit.people import Person
from tests.kit.server import Sections, Server


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"search": {"enabled": True, "max_tokens": 64}}


@pytest.fixture
def sql(database: str) -> Callable[..., list[tuple[Any, ...]]]:
    def run(statement: str, **params: Any) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall()

    return run


TOKENS = "SELECT seq, token FROM chatd.search_tokens WHERE conversation_id = %(id)s ORDER BY seq, token"


def test_both_people_find_it_over_either_transport(alice: Person, bob: Person) -> None:
    with alice.connect() as client, bob.connect() as his:
        sent = client.ask("message.send", client_id="1", to=bob.name, text="\U0001f600 Dinner at the Café?")
        client.ask("message.send", client_id="2", to=bob.name, text="or lunch?")
        found = his.ask("message.search", query='"the cafe" dinner')
        over_http = bob.http().post("/v1/search", query='"the cafe" dinner')
    [message] = found["messages"]
    assert message["message_id"] == sent["message_id"]
    assert (message["text"], message["time"]) == ("\U0001f600 Dinner at the Café?", sent["time"])
    marked = [message["text"][one["start"] : one["end"]] for one in message["highlights"]]
    assert marked == ["Dinner", "the Café"]
    assert found["next"] is None
    assert (over_http.status, over_http.body) == (200, {"messages": [message], "next": None})


def test_pages_lead_through_all_conversations(alice: Person, bob: Person, person: Any, server: Server) -> None:
    carol = person("carol", server)
    with alice.connect() as client:
        for n in range(7):
            client.ask("message.send", client_id=str(n), to=(bob, carol)[n % 2].name, text=f"news {n}")
    found, cursor = [], {}
    for _ in range(4):
        page = alice.http().post("/v1/search", query="news", limit=2, **cursor).body
        found += [message["text"] for message in page["messages"]]
        cursor = {"cursor": page["next"]}
    assert found == [f"news {n}" for n in reversed(range(7))]
    assert page["next"] is None
    with bob.connect() as client:
        assert len(client.ask("message.search", query="news")["messages"]) == 4


def test_the_index_follows_what_is_said(alice: Person, bob: Person, sql: Callable[..., Any]) -> None:
    with alice.connect() as client:
        sent = client.ask("message.send", client_id="1", to=bob.name, text="one two three")
        place = {"conversation": sent["conversation"], "seq": 1}
        before = sql(TOKENS, id=sent["conversation"])
        assert len(before) == 3
        edit = client.ask("message.edit", client_id="2", text="two three four five", **place)
        after = sql(TOKENS, id=sent["conversation"])
        assert (len(after), len({*before, *after})) == (4, 5)
        assert client.ask("message.search", query="one")["messages"] == []
        [message] = client.ask("message.search", query="four")["messages"]
        assert (message["seq"], message["edited_at"]) == (1, edit["time"])
        # A repeat changes nothing, and another word under the same name is refused.
        again = client.ask("message.edit", client_id="2", text="two three four five", **place)
        assert again["seq"] == edit["seq"]
        assert client.ask("message.edit", client_id="2", text="six", **place)["error"]["code"] == "conflict"
        assert sql(TOKENS, id=sent["conversation"]) == after
        client.ask("message.delete", client_id="3", **place)
        assert client.ask("message.search", query="four")["messages"] == []
    assert sql(TOKENS, id=sent["conversation"]) == []


def test_no_word_stands_in_the_database(alice: Person, bob: Person, sql: Callable[..., Any]) -> None:
    with alice.connect() as client:
        for n in (1, 2):
            sent = client.ask("message.send", client_id=str(n), to=bob.name, text="xylophone xylophone")
        elsewhere = client.ask("message.send", client_id="3", to=alice.name, text="xylophone")
    [(_, first), (_, second)] = sql(TOKENS, id=sent["conversation"])
    assert first == second
    assert sql(TOKENS, id=elsewhere["conversation"])[0][1] != first
    rows = sql("SELECT t::text FROM chatd.search_tokens AS t UNION ALL SELECT m::text FROM chatd.messages AS m")
    assert not [row for (row,) in rows if "xylophone" in row or b"xylophone".hex() in row]


def test_without_the_setting_it_is_refused_and_nothing_is_kept(
    start_server: Callable[..., Server], dsn: str, person: Callable[..., Person]
) -> None:
    server = start_server()
    alice = person("alice", server)
    with alice.connect() as client:
        assert "message.search" in client.hello["features"]
        client.ask("message.send", client_id="1", to=alice.name, text="news")
        error = client.ask("message.search", query="news")["error"]
    response = alice.http().post("/v1/search", query="news")
    assert (error["code"], error["status"], error["retryable"]) == ("disabled", 501, False)
    assert (response.status, response.body["code"]) == (501, "disabled")
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM chatd.search_tokens")
        assert cursor.fetchall() == [(0,)]
