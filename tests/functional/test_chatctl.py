"""An operator looks after the keys of a server that serves meanwhile, with several workers."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from signal import SIGINT

import pytest

from chatd.security.keyring import MasterKeys
from chatd.workers.key_watch import LOOK_SECONDS
from tests.kit.clients import Client, Message
from tests.kit.ctl import chatctl, start_chatctl
from tests.kit.people import Person
from tests.kit.postgres import execute
from tests.kit.settings import private
from tests.kit.talk import whole_history
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

WORKERS = 2
_numbers = count(1)
OLD_KEYS = 2
"""Alice's and the server's: nobody else has written anything when the master key changes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: str, auth: AuthService) -> Iterator[WorkersServer]:
    """A server with several workers, on which search is on."""
    folder = tmp_path_factory.mktemp("chatd")
    server = WorkersServer(folder, database, auth, WORKERS, {"search": {"enabled": True}})
    try:
        yield server.start()
    finally:
        server.close()
    assert "Traceback" not in server.log, server.log


@pytest.fixture
def everywhere(server: WorkersServer, bob: Person) -> Iterator[list[Client]]:
    """Connections of bob's on every worker. The system spreads them over the workers' sockets."""
    with ExitStack() as stack:
        clients: list[Client] = []

        def spread() -> bool:
            clients.append(stack.enter_context(bob.connect(device=f"device-{len(clients)}")))
            return all(server.figures("chatd_connections").get(n, 0) > 0 for n in range(1, WORKERS + 1))

        wait_for(spread)
        yield clients


def texts(client: Client, conversation: str) -> list[str | None]:
    return [message.get("text") for message in whole_history(client, conversation)]


def say(person: Person, other: Person, *said: str) -> str:
    """The conversation in which it was said."""
    with person.connect() as client:
        for text in said:
            reply = client.ask("message.send", client_id=f"said-{next(_numbers)}", to=other.name, text=text)
    return str(reply["conversation"])


def test_master_keys_are_rotated_while_people_write(
    server: WorkersServer, person: Callable[..., Person], alice: Person, bob: Person, database: str
) -> None:
    """What was written before, during and after is read with the new master key alone."""
    conversation = say(alice, bob, "before")
    old, new = server.master_keys.read_text(), MasterKeys.generate_line("2026-11")
    private(server.master_keys, f"{old}\n{new}")
    server.reload_all()
    rotations = [start_chatctl(server, "keys", "rotate", "--json") for _ in range(2)]
    newcomers = 0
    while any(rotation.poll() is None for rotation in rotations):
        say(person("newcomer", server), bob, "during")
        newcomers += 1
    results = [json.loads(rotation.communicate()[0]) for rotation in rotations]
    assert [rotation.returncode for rotation in rotations] == [0, 0]
    assert {(result["current"], result["left"]) for result in results} == {("2026-11", 0)}
    assert sum(result["rewrapped"] for result in results) == OLD_KEYS

    private(server.master_keys, new)
    server.reload_all()
    assert execute(database, "SELECT DISTINCT master FROM chatd.data_keys") == [("2026-11",)]
    say(alice, bob, "after")
    with bob.connect() as client:
        assert texts(client, conversation) == ["before", "after"]
        found = client.ask("conversation.list", limit=100)["conversations"]
        assert [one["last_message"]["text"] for one in found].count("during") == newcomers > 0
    assert chatctl(server, "keys", "status").stdout.startswith("2026-11  ")


def test_without_a_master_key_that_is_needed_the_operator_is_told(
    server: WorkersServer, alice: Person, bob: Person, tmp_path: Path
) -> None:
    say(alice, bob, "hello")
    another = private(tmp_path / "keys", MasterKeys.generate_line("another"))
    status = chatctl(server, "keys", "status", f"--encryption-master-keys-file={another}", "--json")
    assert status.returncode == 1
    assert "not configured: 20" in status.stderr
    assert len(status.stderr.splitlines()) == 1
    assert [one["configured"] for one in json.loads(status.stdout)["versions"]] == [True, False]


def test_a_person_is_shredded_and_every_worker_forgets_them_at_once(
    server: WorkersServer, everywhere: list[Client], alice: Person, bob: Person, database: str
) -> None:
    with alice.connect() as client:
        sent = client.ask("message.send", client_id="1", to=bob.name, text="a secret of mine")
        conversation = str(sent["conversation"])
        client.ask("message.edit", client_id="2", conversation=conversation, seq=1, text="a secret of ours")
        client.ask("message.send", client_id="3", to=bob.name, text="one more secret")
        client.ask("user.update", client_id="4", name="Alice")
    everywhere[0].ask("message.send", client_id="5", to=alice.name, text="my own secret")
    with alice.connect() as client:
        client.ask("reaction.add", client_id="6", conversation=conversation, seq=4, emoji="\N{FACE WITH TEARS OF JOY}")
    before = ["a secret of ours", "one more secret", "my own secret"]
    assert all(texts(client, conversation) == before for client in everywhere)
    assert search(everywhere[0], "secret") == [4, 3, 1]

    with start_chatctl(server, "keys", "shred", alice.name, "--yes") as shredding:
        after = [None, None, "my own secret"]
        wait_for(
            lambda: execute(
                database, f"SELECT 1 FROM chatd.data_keys WHERE user_id = '{alice.name}' AND wrapped IS NULL"
            )
        )
        # No worker shows it for longer than this takes, however often it has read it.
        wait_for(lambda: all(texts(client, conversation) == after for client in everywhere), within=20 * LOOK_SECONDS)
        assert not any("secret of" in json.dumps(one) for client in everywhere for one in views(client, conversation))
        out, err = shredding.communicate()
    assert shredding.returncode == 0, err
    assert f"the data key of '{alice.name}' was destroyed at " in err
    assert out.startswith("2 messages are found no more, and 1 reactions were taken back\n")

    assert search(everywhere[0], "secret") == [4]
    assert everywhere[0].ask("user.get", users=[alice.name])["profiles"] == []
    assert everywhere[0].ask("reaction.list", conversation=conversation, seq=4)["reactions"] == []
    wait_for(lambda: server.log.count(f"the data key of '{alice.name}' was destroyed at ") == WORKERS)

    say(alice, bob, "I am back")
    assert all(texts(client, conversation) == [*after, "I am back"] for client in everywhere)
    assert set(server.figures("chatd_unreadable_entries_total").values()) == {0.0}
    assert f"unreadable: {conversation}" not in server.log


def search(client: Client, text: str) -> list[int]:
    return [found["seq"] for found in client.ask("message.search", query=text)["messages"]]


def views(client: Client, conversation: str) -> list[Message]:
    """Whatever tells of what was said."""
    return [
        client.ask("history.get", conversation=conversation),
        client.ask("message.versions", conversation=conversation, seq=1),
        client.ask("sync", cursors=[{"conversation": conversation, "seq": 0}]),
        client.ask("conversation.list"),
    ]


def test_what_is_interrupted_says_so_and_is_no_success(server: WorkersServer, alice: Person, bob: Person) -> None:
    say(alice, bob, "hello")
    with start_chatctl(server, "keys", "shred", alice.name, "--yes") as shredding:
        assert shredding.stderr is not None
        assert "was destroyed" in shredding.stderr.readline()
        shredding.send_signal(SIGINT)
        _, err = shredding.communicate()
    assert shredding.returncode == 1
    assert err == "chatctl: interrupted; what was done stands, and the same command goes on from there\n"


def test_messages_from_before_search_was_on_are_indexed(
    server: WorkersServer, alice: Person, bob: Person, database: str
) -> None:
    conversation = say(alice, bob, "a needle", "a haystack")
    execute(database, f"DELETE FROM chatd.search_tokens WHERE conversation_id = '{conversation}'")
    with bob.connect() as client:
        assert search(client, "needle") == []
        reindexing = chatctl(server, "search", "reindex")
        assert reindexing.returncode == 0, reindexing.stderr
        assert reindexing.stdout == "2 messages were indexed\n"
        assert search(client, "needle") == [1]
