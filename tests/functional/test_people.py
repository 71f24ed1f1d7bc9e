"""Following, blocking and profiles, from the socket to PostgreSQL and back."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from chatd.security.keyring import MasterKeys
from chatd.state.ids import direct
from tests.kit.clients import Client, HttpClient, Message
from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.settings import private
from tests.kit.talk import of, whole_history
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for

PICTURE = "https://example.com/alice.png"


def code(reply: Message) -> str:
    return str(reply["error"]["code"])


def about(person: Person, verb: str) -> str:
    return f"/v1/users/{quote(person.name, safe='')}/{verb}"


def test_a_follow_reaches_both_people_and_their_lists_over_both_transports(alice: Person, bob: Person) -> None:
    with alice.connect(device="phone") as phone, alice.connect(device="tablet") as tablet, bob.connect() as listener:
        for client in (phone, tablet, listener):
            client.sync()
        placed = phone.ask("user.follow", client_id="1", user=bob.name)
        assert (placed["conversation"], placed["seq"]) == (phone.hello["queue"], 1)
        for client in (phone, tablet):
            event = client.event()
            assert (event["type"], event["seq"], event["user"]) == ("following.added", 1, bob.name)
        event = listener.event()
        assert (event["type"], event["conversation"], event["by"]) == (
            "user.followed",
            listener.hello["queue"],
            alice.name,
        )
        # The same again, another way: the same reply, and nothing new.
        again = alice.http().post(about(bob, "follow"), client_id="1")
        assert (again.status, again.body) == (200, {name: placed[name] for name in ("conversation", "seq", "time")})
        conflict = alice.http().post(about(bob, "unfollow"), client_id="1")
        assert (conflict.status, conflict.body["code"]) == (409, "conflict")
        unchanged = alice.http().post(about(bob, "follow"), client_id="2")
        assert (unchanged.status, unchanged.body["code"]) == (409, "unchanged")
        myself = alice.http().post(about(alice, "follow"), client_id="3")
        assert (myself.status, myself.body["code"]) == (400, "invalid")
        following = alice.http().get("/v1/following").body
        assert ([one["user"] for one in following["users"]], following["next"]) == ([bob.name], None)
        assert [one["user"] for one in listener.ask("follower.list")["users"]] == [alice.name]
        phone.ask("user.unfollow", client_id="4", user=bob.name)
        assert tablet.event()["type"] == "following.removed"
        assert listener.ask("ping")["type"] == "ok"
        assert listener.read_events() == []


def test_whoever_was_away_is_told_when_they_come_back(alice: Person, bob: Person) -> None:
    alice.http().post(about(bob, "follow"), client_id="1")
    alice.http().post(about(bob, "block"), client_id="2")
    with bob.connect() as client:
        assert [(event["type"], event["by"]) for event in client.sync()] == [("user.followed", alice.name)]
    with alice.connect(device="new") as client:
        assert [event["type"] for event in client.sync()] == ["following.added", "block.added"]
    page = alice.http(device="other").post("/v1/sync", cursors={}).body
    assert [event["user"] for event in page["events"]] == [bob.name] * 2


def test_a_block_closes_a_conversation_for_both_and_hides_nothing_of_it(alice: Person, bob: Person) -> None:
    with alice.connect() as hers, bob.connect() as his:
        first = hers.ask("message.send", client_id="1", to=bob.name, text="before")
        conversation = first["conversation"]
        for client in (hers, his):
            client.sync()
        hers.ask("user.block", client_id="2", user=bob.name)
        assert hers.event()["type"] == "block.added"
        place = {"conversation": conversation, "seq": 1}
        errors = [
            his.ask("message.send", client_id="3", to=alice.name, text="x"),
            his.ask("message.send", client_id="4", conversation=conversation, text="x"),
            hers.ask("message.edit", client_id="5", text="x", **place),
            hers.ask("message.delete", client_id="6", **place),
            his.ask("message.pin", client_id="7", **place),
        ]
        assert {(code(error), error["error"]["detail"]) for error in errors} == {
            ("forbidden", "You cannot write to each other.")
        }
        refused = bob.http().post("/v1/messages", client_id="8", to=alice.name, text="x")
        assert (refused.status, refused.body["detail"]) == (403, "You cannot write to each other.")
        # What was acknowledged before keeps its reply.
        assert hers.ask("message.send", client_id="1", to=bob.name, text="before")["seq"] == 1
        assert [message["text"] for message in whole_history(his, conversation)] == ["before"]
        # Marks that moved are not told across a block.
        assert his.ask("ack", conversation=conversation, seq=1)["type"] == "ok"
        assert hers.ask("ping")["type"] == "ok"
        assert hers.read_events() == []
        hers.ask("user.unblock", client_id="9", user=bob.name)
        assert his.ask("message.send", client_id="10", to=alice.name, text="after")["seq"] == 2
    with alice.connect(device="new") as later:
        assert [event["text"] for event in of(conversation, later.sync())] == ["before", "after"]


def test_who_is_blocked_before_a_first_word_finds_nothing(alice: Person, bob: Person) -> None:
    alice.http().post(about(bob, "block"), client_id="1")
    conversation = direct(alice.name, bob.name)
    with bob.connect() as client:
        assert code(client.ask("message.send", client_id="1", to=alice.name, text="x")) == "forbidden"
        for name, fields in (
            ("message.send", {"client_id": "2", "text": "x"}),
            ("conversation.get", {}),
            ("history.get", {}),
        ):
            assert code(client.ask(name, conversation=conversation, **fields)) == "not_found"
        assert code(client.ask("user.follow", client_id="3", user=alice.name)) == "forbidden"
        assert client.sync() == []
    with alice.connect() as client:
        assert [event["type"] for event in client.sync()] == ["block.added"]


def test_a_flood_of_messages_and_a_block_have_one_order(alice: Person, bob: Person) -> None:
    """Fault 60."""
    with bob.connect() as his, alice.connect() as hers:
        conversation = his.ask("message.send", client_id="0", to=alice.name, text="0")["conversation"]
        hers.sync()
        numbers = [his.send("message.send", client_id=f"f-{n}", to=alice.name, text=str(n)) for n in range(400)]
        blocked = hers.ask("user.block", client_id="b", user=bob.name)
        assert blocked["type"] == "ok"
        late = his.ask("message.send", client_id="late", to=alice.name, text="late")
        assert code(late) == "forbidden"
        replies = [his.reply(number) for number in numbers]
        acknowledged = [reply["seq"] for reply in replies if reply["type"] == "ok"]
        assert {code(reply) for reply in replies if reply["type"] != "ok"} <= {"forbidden"}
        assert acknowledged == list(range(2, 2 + len(acknowledged)))
        assert hers.ask("ping")["type"] == "ok"
        told = of(conversation, hers.read_events())
        assert [event["seq"] for event in told] == acknowledged
        assert [message["seq"] for message in whole_history(hers, conversation)] == [1, *acknowledged]


def test_a_block_holds_on_every_server_of_a_database(
    start_server: Callable[..., Server], person: Callable[..., Person], tmp_path: Path, dsn: str
) -> None:
    """Fault 60, between two processes that tell each other nothing."""
    keys = {"encryption": {"master_keys_file": str(private(tmp_path / "keys", MasterKeys.generate_line("1")))}}
    one, other = start_server(keys), start_server(keys)
    alice, bob = person("alice", one), person("bob", other)
    conversation = direct(alice.name, bob.name)
    with alice.connect() as hers, bob.connect() as his:
        his.ask("message.send", client_id="0", to=alice.name, text="0")
        acknowledged, refused = [], threading.Event()

        def keep_sending() -> None:
            for n in range(5000):
                reply = his.ask("message.send", client_id=f"s-{n}", to=alice.name, text=str(n))
                if reply["type"] != "ok":
                    assert code(reply) == "forbidden"
                    refused.set()
                    return
                acknowledged.append(reply["seq"])

        sender = threading.Thread(target=keep_sending)
        sender.start()
        wait_for(lambda: len(acknowledged) > 20)
        hers.ask("user.block", client_id="b", user=bob.name)
        sender.join()
        assert refused.is_set()
        assert [message["seq"] for message in whole_history(hers, conversation)] == [1, *acknowledged]


# -- profiles --


def test_a_profile_is_given_read_and_sealed(alice: Person, bob: Person, database: str) -> None:
    with alice.connect(device="phone") as phone, alice.connect(device="tablet") as tablet, bob.connect() as his:
        tablet.sync()
        first = phone.ask("user.update", client_id="1", name="Alice", avatar_url=PICTURE, metadata={"k": "v"})
        event = tablet.event()
        assert (event["type"], event["seq"], event["name"]) == ("profile.updated", first["seq"], "Alice")
        asked = his.ask("user.get", users=[alice.name, "nobody", bob.name])
        [profile] = asked["profiles"]
        assert {**profile, "version": 0} == {
            "user": alice.name,
            "version": 0,
            "name": "Alice",
            "avatar_url": PICTURE,
            "metadata": {"k": "v"},
        }
        alice.http().post("/v1/profile", client_id="2", name="Alicia")
        [changed] = bob.http().post("/v1/users/get", users=[alice.name]).body["profiles"]
        assert (changed["name"], "avatar_url" in changed) == ("Alicia", False)
        assert changed["version"] > profile["version"]
        alice.http().post(about(bob, "block"), client_id="3")
        assert his.ask("user.get", users=[alice.name])["profiles"] == []
        assert len(phone.ask("user.get", users=[alice.name])["profiles"]) == 1
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT sealed FROM chatd.profiles WHERE user_id = %s", (alice.name,))
        [[sealed]] = cursor.fetchall()
    assert b"Alicia" not in bytes(sealed)


@pytest.mark.parametrize("way", ["http", "socket", "first message"])
def test_a_token_gives_the_first_profile_whichever_way_it_comes(
    server: Server, auth: AuthService, alice: Person, bob: Person, way: str
) -> None:
    token = auth.token(alice.name, name="Alice", picture=PICTURE)
    if way == "http":
        assert HttpClient(server.http_url, token).get("/v1/ping").status == 200
    elif way == "socket":
        Client(server.url, token).close()
    else:
        with Client(server.url) as client:
            assert client.ask("auth", token=token)["type"] == "ok"
    asks = bob.http()
    found = wait_for(lambda: asks.post("/v1/users/get", users=[alice.name]).body["profiles"])
    assert (found[0]["name"], found[0]["avatar_url"]) == ("Alice", PICTURE)


def test_what_a_person_says_goes_before_what_their_tokens_say(
    server: Server, auth: AuthService, alice: Person, bob: Person
) -> None:
    alice.http().post("/v1/profile", client_id="1", name="Me")
    with Client(server.url, auth.token(alice.name, name="Alice")) as client:
        for _ in range(3):
            assert client.ask("user.get", users=[alice.name])["profiles"][0]["name"] == "Me"
