"""chatd with auth services of other hands, which follow the same standards: Authlib's, over TLS."""

from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.clients import Client, HttpClient
from tests.kit.independent_auth import IndependentAuth
from tests.kit.server import Server
from tests.kit.waiting import wait_for

REVOKED = 4502


def test_people_of_two_services_talk_until_one_logs_out(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Keys by discovery, JWTs as in RFC 9068, introspection when a token is shown and as long as it is lived on."""
    folders = [tmp_path / name for name in ("rsa", "ec")]
    for folder in folders:
        folder.mkdir()
    with IndependentAuth(folders[0], "RS256") as hers, IndependentAuth(folders[1], "ES256") as his:
        issuers, authorities = tmp_path / "issuers.toml", tmp_path / "authorities.pem"
        issuers.write_text(hers.table + his.table)
        authorities.write_bytes(hers.ca_file.read_bytes() + his.ca_file.read_bytes())
        server = start_server({"tokens": {"issuers_file": str(issuers), "ca_file": str(authorities)}})
        alice, bob = hers.log_in("alice"), his.log_in("bob")

        def status(token: str) -> int:
            return HttpClient(server.http_url, token).get("/v1/ping").status

        wait_for(lambda: status(alice) == status(bob) == 200)
        with Client(server.url, alice) as her, Client(server.url, bob) as him:
            him.sync()
            assert her.ask("message.send", client_id="1", to="bob", text="hello")["type"] == "ok"
            assert [event["type"] for event in him.events(2)] == ["conversation.created", "message.created"]
            wait_for(lambda: him.ask("user.get", users=["alice"])["profiles"])
            hers.revoke(alice)
            assert her.closed()[0] == REVOKED
            assert him.ask("ping")["type"] == "ok"
        assert status(alice) == status(bob + "=") == 401
        with pytest.raises(InvalidStatus):
            Client(server.url, alice)
        assert status(hers.log_in("alice")) == 200
    assert "Traceback" not in server.log, server.log
