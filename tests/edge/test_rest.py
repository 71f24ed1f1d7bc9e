"""The commands over HTTP: who may ask, how, and what comes back."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent

from chatd.edge.schemas import example_fields
from chatd.errors import Conflict, Overloaded, RateLimited
from chatd.handlers.caller import Caller
from chatd.handlers.catalogue import DECLARATIONS
from chatd.wire.commands import Command, Declaration, Reply, Route, command
from chatd.wire.types import ClientId, Seq, Text, UserId
from tests.kit.visitor import TOKEN, Answer, World, handled_by, request

PersonName = Annotated[str, Meta(max_length=40, examples=["bob"])]


class Look(Command, frozen=True, kw_only=True, tag="look.up"):
    """A command that is read."""

    person: PersonName
    about: str | None = None
    limit: int | None = None
    exact: bool = False


class Say(Command, frozen=True, kw_only=True, tag="say"):
    """A command that is posted."""

    person: UserId
    text: Text
    client_id: ClientId | None = None


class Found(Reply, frozen=True, kw_only=True):
    """What came of either."""

    user: str
    device: str
    asked: dict[str, Any]


class Wait(Command, frozen=True, kw_only=True, tag="wait"):
    """A command that takes its time."""

    seq: Seq = 0


class Desk:
    """Answers with what it was asked, fails as it is told, or waits."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.waiting: Deferred[Reply] = Deferred()
        self.ended = False

    @command(Look, reply=Found, route=Route("GET", "/v1/people/{person}"))
    async def look(self, caller: Caller, look: Look) -> Found:
        """Look somebody up."""
        return self._found(caller, look)

    @command(Say, reply=Found, route=Route("POST", "/v1/people/{person}/say"))
    async def say(self, caller: Caller, say: Say) -> Found:
        """Say something."""
        return self._found(caller, say)

    @command(Wait, reply=Found, route=Route("GET", "/v1/wait"))
    async def wait(self, caller: Caller, wait: Wait) -> Reply:
        """Wait."""
        reply = await self.waiting
        self.ended = True
        return reply

    def _found(self, caller: Caller, asked: Command) -> Found:
        if self.failure is not None:
            raise self.failure
        return Found(user=caller.user, device=caller.device, asked=msgspec.structs.asdict(asked))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def world(desk: Desk) -> World:
    return handled_by(desk)


def asked(answer: Answer) -> dict[str, object]:
    assert answer.status == 200, answer.body
    return {name: value for name, value in answer.json["asked"].items() if name != "id"}


# -- the reply --


def test_the_reply_comes_without_id_and_type(world: World) -> None:
    answer = world.ask("POST", "/v1/people/bob/say", {"text": "hi"})
    assert answer.status == 200
    assert answer.json.keys() == {"user", "device", "asked"}
    assert answer.headers["Content-Type"] == "application/json"


def test_a_reply_that_says_nothing_is_an_empty_object() -> None:
    assert World().ask("GET", "/v1/ping").body == b"{}"


def test_no_cache_keeps_a_reply_and_no_header_names_the_software(world: World) -> None:
    for answer in (world.ask("GET", "/v1/people/bob"), world.ask("GET", "/v1/people")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] is None
        assert answer.headers["Date"]


def test_text_comes_through_byte_for_byte(world: World) -> None:
    text = "a\u0301 \u202e\u200d\ufeff\U0001f9d1\u200d\U0001f680 '; DROP TABLE x; -- <b>\r\n\t\x1b[31m"
    assert asked(world.ask("POST", "/v1/people/bob/say", {"text": text}))["text"] == text


def test_head_gives_the_headers_of_get_alone(world: World) -> None:
    whole = world.ask("GET", "/v1/people/bob")
    head = world.ask("HEAD", "/v1/people/bob")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.body))


# -- where fields stand --


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_every_declared_command_can_be_asked_for(declaration: Declaration) -> None:
    """Its example arrives as the command that the same example is on a WebSocket."""
    world, fields = World(), example_fields(declaration)
    path = declaration.route.path.format_map({name: quote(str(value)) for name, value in fields.items()})
    others = {name: value for name, value in fields.items() if f"{{{name}}}" not in declaration.route.path}
    if declaration.route.method == "GET":
        query = "&".join(f"{name}={quote(str(value))}" for name, value in others.items())
        answer = world.ask("GET", f"{path}?{query}" if query else path)
    else:
        answer = world.ask("POST", path, others)
    assert answer.status == 200, answer.body
    on_websocket = json.dumps({"id": 0, "type": declaration.name, **fields}).encode()
    assert world.router.carried_out == [msgspec.json.decode(on_websocket, type=declaration.shape)]


@pytest.mark.parametrize(
    ("quoted", "person"),
    [("bob", "bob"), ("b%C3%B6b", "böb"), ("a%2Fb", "a/b"), ("100%25", "100%"), ("%2541", "%41"), ("a+b", "a+b")],
)
def test_a_field_in_the_path_is_decoded_once(quoted: str, person: str, world: World) -> None:
    assert asked(world.ask("GET", f"/v1/people/{quoted}"))["person"] == person


def test_a_field_in_the_path_that_is_not_utf_8_is_refused(world: World) -> None:
    problem = world.ask("GET", "/v1/people/%ff").problem
    assert (problem["code"], "`person`" in problem["detail"]) == ("invalid", True)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {"about": None, "limit": None, "exact": False}),
        ("about=a+b%2Bc", {"about": "a b+c", "limit": None, "exact": False}),
        ("limit=5&exact=true", {"about": None, "limit": 5, "exact": True}),
        ("limit=-5", {"about": None, "limit": -5, "exact": False}),
        # What a text says is never taken for anything else.
        ("about=null", {"about": "null", "limit": None, "exact": False}),
        ("about=5", {"about": "5", "limit": None, "exact": False}),
        ("about=true", {"about": "true", "limit": None, "exact": False}),
        ("about=", {"about": "", "limit": None, "exact": False}),
        ("about", {"about": "", "limit": None, "exact": False}),
        ("&&about=x=y&", {"about": "x=y", "limit": None, "exact": False}),
    ],
)
def test_fields_in_the_query(query: str, fields: dict[str, object], world: World) -> None:
    assert asked(world.ask("GET", f"/v1/people/bob?{query}")) == {"person": "bob", **fields}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=1&limit=2", "`limit`"),
        ("about=1&%61bout=2", "`about`"),
        ("about=%ED%A0%80", "`about`"),
        ("about=%FF", "`about`"),
        ("access_token=" + TOKEN, "`access_token`"),
        ("person=carol", "`person`"),
        ("id=7", "`id`"),
        ("type=say", "`type`"),
        *((f"limit={text}", "`limit`") for text in ("", "x", "5.0", "1e2", "+5", "05", "5_0", "%D9%A5", "null", "NaN")),
        ("limit=" + "9" * 5000, "`limit`"),
        ("exact=1", "`exact`"),
        ("exact=True", "`exact`"),
    ],
)
def test_a_query_that_asks_for_nonsense_is_refused_naming_the_field(query: str, named: str, world: World) -> None:
    problem = world.ask("GET", f"/v1/people/bob?{query}").problem
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert named in problem["detail"]


def test_a_query_that_is_not_percent_encoded_is_refused(world: World) -> None:
    assert world.ask("GET", "/v1/people/bob?about=\xa0").code == "malformed"


@pytest.mark.parametrize("name", ["person", "id", "type", "colour"])
def test_a_field_that_does_not_belong_into_the_body_is_refused_naming_it(name: str, world: World) -> None:
    problem = world.ask("POST", "/v1/people/bob/say", {"text": "hi", name: "x"}).problem
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert f"`{name}`" in problem["detail"]


@pytest.mark.parametrize("body", [b"", b"hello", b"{", b"\xff\xfe{\x00}\x00", b"[" * 60_000, b"{}{}"])
def test_a_body_that_is_no_json_is_refused(body: bytes, world: World) -> None:
    assert world.ask("POST", "/v1/people/bob/say", body).status == 400


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_refused(body: bytes, world: World) -> None:
    assert world.ask("POST", "/v1/people/bob/say", body).code == "invalid"


def test_of_a_key_that_is_given_twice_the_last_counts(world: World) -> None:
    answer = world.ask("POST", "/v1/people/bob/say", b'{"text": "first", "text": "last"}')
    assert asked(answer)["text"] == "last"


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;a=b"])
def test_json_may_be_announced_with_parameters(media_type: str, world: World) -> None:
    assert world.ask("POST", "/v1/people/bob/say", {"text": "hi"}, Content_Type=media_type).status == 200


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
)
def test_a_body_of_another_type_is_refused(media_type: str, world: World) -> None:
    """That is also what keeps a form on another site from posting here."""
    answer = world.ask("POST", "/v1/people/bob/say", {"text": "hi"}, Content_Type=media_type)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_fields_that_would_not_be_looked_at_are_refused(world: World) -> None:
    assert world.ask("POST", "/v1/people/bob/say?text=hi", {"text": "hi"}).code == "invalid"
    assert world.ask("GET", "/v1/people/bob", {"limit": 5}).code == "invalid"


# -- which paths there are --


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/nothing", "/v1/people", "/v1/people/", "/v1/people/bob/", "/v1/people//say", "/V1/people/bob"]
)
def test_an_unknown_path_is_not_found(path: str, world: World) -> None:
    assert world.ask("GET", path).code == "not_found"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "BREW"])
def test_a_wrong_method_is_told_the_right_ones(method: str, world: World) -> None:
    answer = world.ask(method, "/v1/people/bob", {})
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_options_tells_the_methods_without_a_token(world: World) -> None:
    answer = world.ask("OPTIONS", "/v1/people/bob/say", Authorization="")
    assert (answer.status, answer.body, answer.headers["Allow"]) == (204, b"", "OPTIONS, POST")
    assert world.ask("OPTIONS", "/v1/nothing", Authorization="").code == "not_found"


# -- what may go wrong --


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (Conflict(), 409, None),
        (RateLimited(retry_after_ms=2001), 429, "3"),
        (Overloaded("Full.", retry_after_ms=500), 503, "1"),
    ],
)
def test_a_command_that_fails_is_answered_with_its_error(
    failure: Exception, status: int, retry_after: str | None, desk: Desk, world: World
) -> None:
    desk.failure = failure
    answer = world.ask("GET", "/v1/people/bob")
    assert (answer.status, answer.headers["Retry-After"]) == (status, retry_after)
    assert answer.problem["detail"] == str(failure)


def test_an_unforeseen_failure_tells_nothing_of_itself(desk: Desk, world: World) -> None:
    desk.failure = ZeroDivisionError("a secret")
    answer = world.ask("GET", "/v1/people/bob")
    assert (answer.status, answer.code, b"secret" in answer.body) == (500, "internal", False)


def test_a_failure_of_the_edge_itself_is_logged_and_answered(logged: list[LogEvent]) -> None:
    world = World(verifier=object())
    assert world.ask("GET", "/v1/ping").code == "internal"
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [AttributeError]


def test_a_client_that_has_gone_gets_nothing_but_its_command_goes_on(
    desk: Desk, world: World, logged: list[LogEvent]
) -> None:
    visitor = world.visitor()
    visitor.send(request("GET", "/v1/wait"))
    visitor.hang_up()
    desk.waiting.callback(Found(user="", device="", asked={}))
    assert (desk.ended, visitor.received) == (True, b"")
    assert not [event for event in logged if "log_failure" in event]


def test_the_failure_of_a_command_whose_client_has_gone_goes_nowhere(
    desk: Desk, world: World, logged: list[LogEvent]
) -> None:
    visitor = world.visitor()
    visitor.send(request("GET", "/v1/wait"))
    visitor.hang_up()
    desk.waiting.errback(Conflict())
    assert visitor.received == b""
    assert not [event for event in logged if "log_failure" in event]
