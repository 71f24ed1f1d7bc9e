"""Errors over HTTP are RFC 9457 problem details with the members that they have on a WebSocket."""

import json

import pytest

from chatd.edge import problems
from chatd.errors import CATALOGUE, ChatdError, Internal, NotFound, RateLimited, Unauthorized
from chatd.wire.codec import JsonCodec
from chatd.wire.session import Auth
from tests.kit.visitor import parsed


@pytest.mark.parametrize("kind", CATALOGUE)
def test_an_error_has_the_same_members_as_on_a_websocket(kind: type[ChatdError]) -> None:
    error = kind(retry_after_ms=1500) if kind.retryable else kind()
    on_websocket = json.loads(JsonCodec(Auth).encode_error(1, error))["error"]
    over_http = json.loads(problems.body(error))
    assert over_http.items() >= on_websocket.items()
    assert over_http.keys() - on_websocket.keys() == {"type", "title"}


def test_the_title_is_what_http_calls_the_status() -> None:
    problem = problems.problem(NotFound())
    assert (problem.type, problem.title, problem.status) == ("about:blank", "Not Found", 404)


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(1, b"1"), (1000, b"1"), (1001, b"2"), (60_000, b"60"), (0, b"0")]
)
def test_retry_after_is_in_whole_seconds_and_never_too_early(milliseconds: int, seconds: bytes) -> None:
    assert dict(problems.headers(RateLimited(retry_after_ms=milliseconds)))[b"Retry-After"] == seconds


def test_an_error_that_no_waiting_mends_has_no_retry_after() -> None:
    assert b"Retry-After" not in dict(problems.headers(Internal()))
    assert "retry_after_ms" not in json.loads(problems.body(Internal()))


def test_without_a_token_the_way_to_show_one_is_told() -> None:
    assert dict(problems.headers(Unauthorized()))[b"WWW-Authenticate"] == b"Bearer"


def test_a_last_response_is_whole_and_says_that_the_connection_ends() -> None:
    answer, rest = parsed(problems.last_response(RateLimited("Too many at once: ü.", retry_after_ms=2500)))
    assert rest == b""
    assert (answer.status, answer.code, answer.problem["detail"]) == (429, "rate_limited", "Too many at once: ü.")
    assert (answer.headers["Connection"], answer.headers["Retry-After"]) == ("close", "3")
    assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
