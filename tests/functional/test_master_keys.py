"""A server with the wrong master keys, or too few: it says so, shows what it can, and alters nothing."""

from collections.abc import Callable

from chatd.security.keyring import MasterKeys
from tests.kit.clients import HttpClient
from tests.kit.people import Person
from tests.kit.postgres import execute
from tests.kit.server import Server
from tests.kit.settings import private
from tests.kit.talk import whole_history
from tests.kit.waiting import wait_for

KEYS = "SELECT user_id, master, wrapped FROM chatd.data_keys ORDER BY user_id"


def test_with_wrong_or_missing_master_keys_a_server_says_so(
    start_server: Callable[..., Server], person: Callable[..., Person], dsn: str
) -> None:
    server = start_server()
    first = server.master_keys.read_text()
    second, pretended = MasterKeys.generate_line("second"), MasterKeys.generate_line(first.partition(":")[0])
    alice, bob, carol = (person(name, server) for name in ("alice", "bob", "carol"))

    def restart(*lines: str, ready: bool = True) -> int:
        """With these master keys; where its log ended before."""
        server.stop()
        private(server.master_keys, "\n".join(lines))
        seen = len(server.log)
        server.start(ready=ready)
        return seen

    with alice.connect() as client:
        conversation = client.ask("message.send", client_id="1", to=bob.name, text="under the first")["conversation"]
    restart(first, second)
    with carol.connect() as client:
        other = client.ask("message.send", client_id="1", to=bob.name, text="under the second")["conversation"]
    before = execute(dsn, KEYS)

    # One is missing: what it is needed for is unreadable, the rest is as before.
    seen = restart(first)
    wait_for(lambda: "data keys are wrapped by master keys that are not configured: second;" in server.log[seen:])
    with bob.connect() as client:
        assert [message["text"] for message in whole_history(client, conversation)] == ["under the first"]
        assert [message["unreadable"] for message in whole_history(client, other)] == [True]
    with carol.connect() as client:
        assert client.ask("message.send", client_id="2", to=bob.name, text="more")["error"]["code"] == "internal"
    assert "the master key of this version is not configured" in server.log[seen:]

    # Another key under the same name: nothing can be done, so nothing is.
    seen = restart(pretended, second, ready=False)
    wait_for(lambda: "not ready: the server's own data key does not open" in server.log[seen:])
    assert not server.ready()
    said = HttpClient(server.http_url).get("/readyz").body["dependencies"]
    assert [said[name]["state"] for name in ("encryption", "database")] == ["unavailable", "ok"]
    for somebody in (alice, person("newcomer", server)):
        response = somebody.http().post("/v1/messages", client_id="3", to=bob.name, text="into the void")
        assert (response.status, response.body["code"]) == (500, "internal")
    assert execute(dsn, KEYS) == before

    restart(first, second)
    with bob.connect() as client:
        assert [message["text"] for message in whole_history(client, conversation)] == ["under the first"]
        assert [message["text"] for message in whole_history(client, other)] == ["under the second"]
    assert execute(dsn, KEYS) == before
