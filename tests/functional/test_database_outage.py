"""PostgreSQL goes away and comes back: errors are bounded and retryable, and nothing acknowledged is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.resilient import Reader, Sender, ask, sending
from tests.kit.server import Sections, Server
from tests.kit.talk import as_messages, whole_history
from tests.kit.waiting import wait_for

SETTINGS: Sections = {"database": {"pool_size": 4}}
SENDS = 400
"""At least."""


@pytest.fixture(scope="module")
def settings() -> Sections:
    return SETTINGS


@contextmanager
def down(cluster: Cluster, end: Callable[[Cluster], None] = Cluster.stop) -> Iterator[None]:
    """PostgreSQL is not there meanwhile."""
    end(cluster)
    try:
        yield
    finally:
        cluster.start()


@pytest.mark.parametrize("end", [Cluster.stop, Cluster.kill])
def test_a_database_that_goes_and_comes_back_costs_time_and_no_messages(
    end: Callable[[Cluster], None], cluster: Cluster, server: Server, alice: Person, bob: Person
) -> None:
    with alice.connect() as hers, bob.connect() as his:
        sender, reader = Sender(hers, bob.name), Reader(his)
        reader.sync()
        with sending(sender, window=4) as finish:
            wait_for(lambda: len(sender.acknowledged) > 20)
            with down(cluster, end):
                wait_for(lambda: not server.ready())
                wait_for(lambda: sender.codes)
            wait_for(server.ready)
            wait_for(lambda: len(sender.acknowledged) >= SENDS)
            finish()
        assert set(sender.codes) <= {"unavailable", "outcome_unknown"}
        conversation = ask(hers, "conversation.list")["conversations"][0]["conversation"]
        history = whole_history(hers, conversation)
        reader.read_until(lambda: len(reader.events.get(conversation, ())) == len(history))
    assert {message["text"]: message["seq"] for message in history} == {
        f"m-{number}": seq for number, seq in sender.acknowledged.items()
    }
    assert len(history) == len(sender.acknowledged)
    assert as_messages(reader.events[conversation]) == history


def test_it_starts_while_the_database_is_down_and_serves_once_that_is_there(
    cluster: Cluster, start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    with down(cluster):
        server = start_server(SETTINGS, ready=False)
        alice, bob = person("alice", server), person("bob", server)
        assert alice.http().get("/healthz").status == 200
        assert alice.http().get("/readyz").status == 503
        # Which tokens were revoked stands in the database: nobody is let in before that is known.
        with pytest.raises(InvalidStatus) as caught:
            alice.connect()
        response = alice.http().post("/v1/messages", client_id="1", to=bob.name, text="hi")
        assert (response.status, response.body["code"], response.body["retryable"]) == (503, "unavailable", True)
        assert caught.value.response.status_code == 503
        for headers in (response.headers, caught.value.response.headers):
            assert int(headers["Retry-After"]) > 0
    wait_for(server.ready)
    with alice.connect() as client:
        assert ask(client, "message.send", client_id="1", to=bob.name, text="hi")["seq"] == 1
