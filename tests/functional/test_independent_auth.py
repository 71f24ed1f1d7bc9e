"""chatd with an auth service of other hands, which follows the same standards: Authlib's, over TLS."""

from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.clients import Client, HttpClient
from tests.kit.independent_auth import KEYS, IndependentAuth
from tests.kit.server import Server
from tests.kit.waiting import wait_for

REVOKED = 4502


@pytest.mark.parametrize("algorithm", KEYS)
def test_its_people_talk_until_they_log_out(
    algorithm: str, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Keys by discovery, JWTs as in RFC 9068, introspection when a token is shown and as long as it is lived on."""
    with IndependentAuth(tmp_path, algorithm) as auth:
        (tmp_path / "issuers.toml").write_text(auth.table)
        server = start_server(
            {"tokens": {"issuers_file": str(tmp_path / "issuers.toml"), "ca_file": str(auth.ca_file)}}
        )
        alice, bob = auth.log_in("alice"), auth.log_in("bob")
        asking = HttpClient(server.http_url, alice)
        wait_for(lambda: asking.get("/v1/ping").status == 200)
        with Client(server.url, alice) as hers, Client(server.url, bob) as his:
            his.sync()
            assert hers.ask("message.send", client_id="1", to="bob", text="hello")["type"] == "ok"
            assert [event["type"] for event in his.events(2)] == ["conversation.created", "message.created"]
            profiles = his.ask("user.get", users=["alice"])["profiles"]
            assert [profile["name"] for profile in profiles] == ["Alice"]
            auth.revoke(alice)
            assert hers.closed()[0] == REVOKED
            assert his.ask("ping")["type"] == "ok"
        assert asking.get("/v1/ping").status == 401
        with pytest.raises(InvalidStatus):
            Client(server.url, alice)
        assert HttpClient(server.http_url, auth.log_in("alice")).get("/v1/ping").status == 200
        assert HttpClient(server.http_url, bob + "=").get("/v1/ping").status == 401
    assert "Traceback" not in server.log, server.log
