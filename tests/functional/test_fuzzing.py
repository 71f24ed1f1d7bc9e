"""Whatever bytes come, the server answers them as the client's to mend, logs no traceback, and serves all others."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kit import fuzzing
from tests.kit.fuzzing import Attack, Target, attacks
from tests.kit.raw import TEXT, frame
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService


@pytest.fixture(scope="module", name="settings")
def _settings() -> Sections:
    return fuzzing.SETTINGS


@pytest.fixture(scope="module")
def target(server: Server, auth: AuthService) -> Iterator[Target]:
    target = Target(server, auth)
    yield target
    target.close()


@settings(max_examples=120, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_bytes_harm_it(target: Target, data: st.DataObject) -> None:
    """A short run of what ``make fuzz`` does for as long as one likes, always the same."""
    target.hold(data.draw(attacks(target.token)))


def test_an_attack_is_written_and_read_as_it_is() -> None:
    attack = Attack("websocket", (frame(TEXT, b"\xff"), b"\0"))
    assert Attack.read(str(attack)) == attack


@pytest.mark.parametrize(
    ("kind", "received"),
    [
        ("http", b"HTTP/1.1 500 Internal Server Error\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 503 Service Unavailable\r\n\r\n"),
        ("http", b"<html>"),
        ("websocket", b"\x88\x02\x03\xf3"),
        ("websocket", b"\x81\x18" + b'{"error":{"status":500}}'),
        ("websocket", b"\xc1\x00"),
        ("websocket", b"\x82\x01x"),
    ],
)
def test_what_a_server_should_not_say_is_found(kind: str, received: bytes) -> None:
    wrong = fuzzing.wrong_over_http if kind == "http" else fuzzing.wrong_in_frames
    assert wrong(received)
