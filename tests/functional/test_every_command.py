"""Every command that there is, carried out by the real server, and sent again: what holds for each of them.

The cases are made from the declarations: a new command is covered once ``tests/kit/prepared.py`` says what it needs.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chatd.edge.descriptions import descriptions
from chatd.handlers.catalogue import DECLARATIONS
from chatd.wire.commands import Declaration
from tests.kit.clients import MSGPACK, Message, Response
from tests.kit.people import Person
from tests.kit.prepared import PREPARED, Prepared, over_http
from tests.kit.server import Sections, Server

OPENAPI = json.loads(descriptions()["openapi.json"])

CHANGING = [declaration for declaration in DECLARATIONS if "client_id" in declaration.shape.__struct_fields__]
KEEPING = [declaration for declaration in CHANGING if "client_id" in (declaration.example or {})]
"""Those whose ``client_id`` is kept. Marks take one for uniformity, and need none: they only move forward."""

FROM_ONE_DEVICE = {"device.end_others"}
"""What these ask for is something else from another device: which devices are the others."""

each = pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
each_keeping = pytest.mark.parametrize("declaration", KEEPING, ids=lambda declaration: declaration.name)


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"search": {"enabled": True}}


@pytest.fixture
def world(server: Server, person: Callable[..., Person]) -> Prepared:
    return Prepared(server, person)


def bare(reply: Message) -> Message:
    """A reply without what names its request."""
    return {name: value for name, value in reply.items() if name not in ("id", "type")}


def check_described(declaration: Declaration, response: Response) -> None:
    """Hold a response against the published document."""
    operation = OPENAPI["paths"][declaration.route.path][declaration.route.method.lower()]
    schema = operation["responses"][str(response.status)]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": OPENAPI["components"]}).validate(response.body)


def test_it_is_known_of_every_command_what_it_needs() -> None:
    """A new one has to be thought of."""
    assert PREPARED.keys() == {declaration.name for declaration in DECLARATIONS}


def test_the_commands_that_take_a_client_id_and_keep_none_are_these() -> None:
    """What is not kept cannot be a change with a place of its own."""
    forgetting = {declaration.name for declaration in CHANGING if declaration not in KEEPING}
    assert forgetting == {"ack", "read", "announcement.read"}
    assert all(
        "seq" not in declaration.reply.__struct_fields__ for declaration in CHANGING if declaration not in KEEPING
    )


@each
def test_its_example_is_carried_out_over_websocket(declaration: Declaration, world: Prepared) -> None:
    world.prepare(declaration)
    with world.connect(PREPARED[declaration.name].who) as client:
        reply = client.ask(declaration.name, **world.fields(declaration))
    assert reply["type"] == "ok", reply


@each
def test_its_example_is_carried_out_over_http_and_answered_as_described(
    declaration: Declaration, world: Prepared
) -> None:
    world.prepare(declaration)
    setting = PREPARED[declaration.name]
    response = over_http(world.http(setting.who), declaration, world.fields(declaration))
    if setting.live:
        assert (response.status, response.body["code"]) == (400, "invalid")
        assert "WebSocket" in response.body["detail"]
    else:
        assert response.status == 200, response.body
        check_described(declaration, response)


def altered(fields: dict[str, Any]) -> dict[str, Any] | None:
    """The same command, but for something that it says; None where it says nothing of its own."""
    for name in ("text", "title", "name"):
        if name in fields:
            return {**fields, name: fields[name] + "!"}
    return {**fields, "seq": 2} if "seq" in fields else None


@pytest.mark.parametrize("way", ["websocket", "http"])
@each_keeping
def test_sent_again_it_gets_its_first_reply_and_anything_else_a_conflict(
    declaration: Declaration, way: str, world: Prepared
) -> None:
    """By every way in and from other devices; and nothing is stored twice (fault 58)."""
    world.prepare(declaration)
    who, name, fields = PREPARED[declaration.name].who, declaration.name, world.fields(declaration)
    laptop, watch = ("phone", "phone") if name in FROM_ONE_DEVICE else ("laptop", "watch")
    http = world.http(who, device=laptop)
    with world.connect(who) as client, world.connect(who, device=watch, subprotocol=MSGPACK) as other:
        by_websocket = way == "websocket"
        first = bare(client.ask(name, **fields)) if by_websocket else over_http(http, declaration, fields).body
        assert "error" not in first, first
        assert "status" not in first, first
        ends = world.ends()
        assert first["seq"] <= ends[first["conversation"]]
        assert bare(client.ask(name, **fields)) == first
        assert bare(other.ask(name, **fields)) == first
        assert over_http(http, declaration, fields).body == first

        another = {"client_id": fields["client_id"], "name": "something else"}
        assert client.ask("user.update", **another)["error"]["code"] == "conflict"
        assert http.post("/v1/profile", **another).body["code"] == "conflict"
        if (changed := altered(fields)) is not None:
            assert other.ask(name, **changed)["error"]["code"] == "conflict"
            assert over_http(http, declaration, changed).body["code"] == "conflict"
        assert world.ends() == ends


@pytest.mark.parametrize("declaration", [d for d in KEEPING if d.name in FROM_ONE_DEVICE], ids=lambda d: d.name)
def test_what_depends_on_the_device_is_a_conflict_from_another(declaration: Declaration, world: Prepared) -> None:
    fields = world.fields(declaration)
    assert over_http(world.http("alice"), declaration, fields).status == 200
    assert over_http(world.http("alice", device="laptop"), declaration, fields).body["code"] == "conflict"
