"""PostgreSQL is there and misbehaves: replies are lost, sessions end, nothing comes back, everything is slow."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from chatd.store.batcher import MAX_BATCH
from tests.kit.clients import Client
from tests.kit.people import Person
from tests.kit.proxy import Proxy, postgres_proxy
from tests.kit.raw import PING, PONG
from tests.kit.resilient import Reader, Sender, ask, sending
from tests.kit.server import Sections, Server
from tests.kit.talk import whole_history
from tests.kit.waiting import WITHIN_S, wait_for

APPEND = b"EXECUTE chatd_append"
OPEN = b"EXECUTE chatd_open"
WRITE_QUEUE = 50
STATEMENT_SECONDS = 3
"""Short, for a test waits for it; and yet no pause that a machine under load makes is taken for a fault."""


@pytest.fixture(scope="module")
def direct(database: str) -> str:
    """The way to the database that no fault lies on."""
    return database


@pytest.fixture(scope="module")
def proxy(direct: str) -> Iterator[tuple[Proxy, str]]:
    with postgres_proxy(direct) as made:
        yield made


@pytest.fixture(scope="module")
def settings(proxy: tuple[Proxy, str]) -> Sections:
    return {
        "database": {"dsn": proxy[1], "statement_timeout": STATEMENT_SECONDS, "pool_size": 4},
        "limits": {"write_queue": WRITE_QUEUE},
    }


@pytest.fixture
def network(server: Server, proxy: tuple[Proxy, str]) -> Iterator[Proxy]:
    """The network between the server and PostgreSQL: whole again, and the server ready, when a test ends."""
    yield proxy[0]
    proxy[0].passing()
    wait_for(server.ready)


def query(dsn: str, sql: str, *values: object) -> list[tuple]:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def locked(dsn: str) -> Iterator[None]:
    """All writing waits meanwhile."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE chatd.conversations IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def assert_stored_once(client: Client, conversation: str, text: str) -> None:
    assert [message["text"] for message in whole_history(client, conversation)].count(text) == 1


def test_a_lost_reply_to_a_commit_is_looked_up_and_the_message_stored_and_shown_once(
    network: Proxy, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers, bob.connect() as his:
        reader = Reader(his)
        first = ask(hers, "message.send", client_id="1", to=bob.name, text="first")
        reader.sync()
        lost = network.lose_reply(APPEND)
        sent = hers.ask("message.send", client_id="2", to=bob.name, text="second")
        assert lost.struck.is_set()
        assert (sent["type"], sent["seq"]) == ("ok", first["seq"] + 1)
        third = ask(hers, "message.send", client_id="3", to=bob.name, text="third")
        log = reader.events[first["conversation"]]
        reader.read_until(lambda: log[-1]["seq"] == third["seq"])
        assert [event["text"] for event in log] == ["first", "second", "third"]


def test_when_it_cannot_be_looked_up_the_client_is_told_so_and_sends_again(
    network: Proxy, direct: str, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers, bob.connect() as his:
        reader = Reader(his)
        first = ask(hers, "message.send", client_id="1", to=bob.name, text="first")
        reader.sync()
        lost = network.lose_reply(APPEND, then_cut=False)
        id = hers.send("message.send", client_id="2", to=bob.name, text="second")
        assert lost.struck.wait(WITHIN_S)
        network.refuse()
        error = hers.reply(id)["error"]
        assert (error["code"], error["retryable"]) == ("outcome_unknown", True)
        stored = query(
            direct, "SELECT last_seq FROM chatd.conversations WHERE conversation_id = %s", first["conversation"]
        )
        assert stored == [(2,)]
        network.passing()
        sender = Sender(hers, bob.name)
        again = ask(hers, "message.send", client_id="2", to=bob.name, text="second")
        assert again["seq"] == first["seq"] + 1
        sender.send([3])
        reader.read_until(lambda: reader.cursors[first["conversation"]] == sender.acknowledged[3])
        assert_stored_once(hers, first["conversation"], "second")


def test_a_lost_reply_while_a_conversation_is_opened_opens_it_once(network: Proxy, alice: Person, bob: Person) -> None:
    with alice.connect() as hers, bob.connect() as his:
        reader = Reader(his)
        reader.sync()
        lost = network.lose_reply(OPEN)
        sender = Sender(hers, bob.name)
        sender.send([1])
        assert lost.struck.is_set()
        assert sum(sender.codes.values()) == sender.codes["outcome_unknown"]
        queue = his.hello["queue"]
        reader.read_until(lambda: len(reader.events) == 2)
        assert [event["type"] for event in reader.events[queue]] == ["conversation.created"]
        assert [len(events) for events in reader.events.values()] == [1, 1]


def test_sessions_that_are_ended_during_sends_cost_nothing(
    network: Proxy, direct: str, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers, bob.connect() as his:
        sender, reader = Sender(hers, bob.name), Reader(his)
        reader.sync()
        with sending(sender, window=8) as finish:
            for enough in (50, 200, 350):
                wait_for(lambda enough=enough: len(sender.acknowledged) > enough)
                query(direct, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chatd'")
            wait_for(lambda: len(sender.acknowledged) > 500)
            finish()
        conversation = ask(hers, "conversation.list")["conversations"][0]["conversation"]
        history = whole_history(hers, conversation)
        reader.read_until(lambda: len(reader.events.get(conversation, ())) == len(history))
    assert {message["text"]: message["seq"] for message in history} == {
        f"m-{number}": seq for number, seq in sender.acknowledged.items()
    }
    assert len(history) == len(sender.acknowledged)


@pytest.fixture(params=["deadlock_detected", "serialization_failure"])
def stumbling(request: pytest.FixtureRequest, direct: str) -> Iterator[Callable[[], None]]:
    """After each call PostgreSQL fails two statements that move a log on, with an error that asks for another try."""
    query(
        direct,
        "CREATE SEQUENCE public.stumbles START 3;"
        " CREATE FUNCTION public.stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('public.stumbles') < 3 THEN RAISE {request.param}; END IF; RETURN NEW; END $$;"
        " CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON chatd.conversations"
        " FOR EACH ROW EXECUTE FUNCTION public.stumble()",
    )
    yield lambda: query(direct, "ALTER SEQUENCE public.stumbles RESTART WITH 1")
    query(
        direct,
        "DROP TRIGGER stumble ON chatd.conversations; DROP FUNCTION public.stumble; DROP SEQUENCE public.stumbles",
    )


def test_a_deadlock_or_a_serialization_failure_is_never_seen_by_a_client(
    stumbling: Callable[[], None], direct: str, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers:
        stumbling()
        first = hers.ask("message.send", client_id="1", to=bob.name, text="opens the conversation")
        assert (first["type"], first["seq"]) == ("ok", 1)
        place = {"conversation": first["conversation"], "seq": 1}
        for command, fields in (
            ("message.send", {"client_id": "2", "to": bob.name, "text": "goes on"}),
            ("message.edit", {"client_id": "3", "text": "opened the conversation", **place}),
            ("group.create", {"client_id": "4", "title": "Choir", "members": [bob.name]}),
        ):
            stumbling()
            assert hers.ask(command, **fields)["type"] == "ok"
            assert query(direct, "SELECT last_value >= 3 FROM public.stumbles") == [(True,)], "it did not stumble"
        assert len(whole_history(hers, first["conversation"])) == 2


def test_a_database_that_no_longer_answers_is_told_in_time_and_heartbeats_go_on(
    network: Proxy, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers, alice.raw() as pinging:
        pinging.message()
        first = ask(hers, "message.send", client_id="1", to=bob.name, text="first")
        network.blackhole()
        id = hers.send("message.send", client_id="2", to=bob.name, text="second")
        assert hers.ask("ping")["type"] == "ok"
        pinging.send_frame(PING, b"?")
        assert pinging.receive().opcode == PONG
        assert not hers.has_reply(id)
        error = hers.reply(id)["error"]
        assert (error["code"], error["retryable"]) == ("outcome_unknown", True)
        error = hers.ask("conversation.list")["error"]
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        network.passing()
        sender = Sender(hers, bob.name)
        sender.send([2])
        assert_stored_once(hers, first["conversation"], "m-2")


def test_a_slow_database_means_a_bounded_queue_and_an_overload_error_and_heartbeats_go_on(
    network: Proxy, direct: str, alice: Person, bob: Person
) -> None:
    sends = MAX_BATCH + 2 * WRITE_QUEUE
    with alice.connect() as hers, alice.raw() as pinging:
        pinging.message()
        first = ask(hers, "message.send", client_id="first", to=bob.name, text="first")
        with locked(direct):
            ids = [hers.send("message.send", client_id=f"m-{n}", to=bob.name, text=f"m-{n}") for n in range(sends)]
            assert hers.ask("ping")["type"] == "ok"
            refused_at_once = sum(hers.has_reply(id) for id in ids)
            pinging.send_frame(PING, b"?")
            assert pinging.receive().opcode == PONG
            errors = [hers.reply(id)["error"] for id in ids]
        assert refused_at_once >= WRITE_QUEUE
        assert {(error["code"], error["retryable"]) for error in errors} == {("overloaded", True)}
        sender = Sender(hers, bob.name)
        sender.send(range(sends))
        history = whole_history(hers, first["conversation"])
    assert sorted(message["text"] for message in history) == sorted(["first", *(f"m-{n}" for n in range(sends))])
