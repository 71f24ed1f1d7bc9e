"""The API descriptions: they are what the declarations say, and every reader can go by them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from chatd.edge import problems
from chatd.edge.descriptions import descriptions, main
from chatd.edge.schemas import example_fields
from chatd.errors import CATALOGUE, RateLimited
from chatd.handlers.catalogue import DECLARATIONS
from chatd.handlers.messages import MessageCreated
from chatd.handlers.opening import ConversationCreated
from chatd.handlers.sync import Synced
from chatd.wire.codec import JsonCodec
from chatd.wire.commands import Declaration
from chatd.wire.session import Auth
from tests.kit.visitor import World

ROOT = Path(__file__).parents[2]
DOCUMENTS = {name: json.loads(content) for name, content in descriptions().items()}
OPENAPI, ASYNCAPI = DOCUMENTS["openapi.json"], DOCUMENTS["asyncapi.json"]
CONVERSATION = "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b"
PLACE = {"conversation": CONVERSATION, "seq": 1, "time": datetime(2025, 1, 1, tzinfo=UTC)}
EVENTS = [
    MessageCreated(**PLACE, message_id=f"{CONVERSATION}.1", sender="alice", text="hello", metadata={"a": "b"}),
    MessageCreated(**PLACE, message_id=f"{CONVERSATION}.1", sender="alice", unreadable=True),
    ConversationCreated(**PLACE, by="alice", created=CONVERSATION, kind="direct", members=["alice", "bob"]),
]
SYNCED = Synced(events=EVENTS, more=False, reset=[CONVERSATION], epoch="an-epoch")

each_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
each_command = pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """All objects in a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def resolved(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found


def check(document: Any, schema: dict[str, Any], instance: Any) -> None:
    """Hold ``instance`` against a schema of the document's; its references lead into the document."""
    whole = {name: member for name, member in document.items() if name in ("components", "channels")}
    Draft202012Validator({**whole, "allOf": [schema]}).validate(instance)


def operation(declaration: Declaration) -> Any:
    return OPENAPI["paths"][declaration.route.path][declaration.route.method.lower()]


# -- the files --


def test_the_kept_files_are_up_to_date_and_the_same_in_every_process() -> None:
    command = [sys.executable, "-m", "chatd.edge.descriptions", "--check"]
    environment = {"PYTHONPATH": ":".join(filter(None, [str(ROOT), *sys.path])), "PYTHONHASHSEED": "7"}
    checked = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (checked.stderr, checked.returncode) == ("", 0)


def test_what_was_written_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "reference")
    assert main([folder]) == 0
    assert main(["--check", folder]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_stale_or_missing_file_is_named_with_what_mends_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path)])
    for spoil in (lambda path: path.write_text("{}"), Path.unlink):
        spoil(tmp_path / name)
        assert main(["--check", str(tmp_path)]) == 1
        line = f"{tmp_path / name} is out of date: run python -m chatd.edge.descriptions {tmp_path}\n"
        assert capsys.readouterr().err == line


# -- both documents --


@each_document
def test_every_reference_leads_somewhere(document: Any) -> None:
    references = [node["$ref"] for node in nodes(document) if "$ref" in node]
    assert references
    for reference in references:
        assert resolved(document, reference)


@each_document
def test_every_schema_is_one(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("description") or "oneOf" in schema, name


@each_document
def test_nothing_in_it_is_there_for_nobody(document: Any) -> None:
    used = {node["$ref"] for node in nodes(document) if "$ref" in node}
    for kind in ("schemas", "responses", "parameters", "messages"):
        for name in document["components"].get(kind, {}):
            assert f"#/components/{kind}/{name}" in used


@each_document
def test_literals_are_marked_up_as_markdown_does(document: Any) -> None:
    assert not [node for node in nodes(document) if "``" in str(node.get("description"))]


@pytest.mark.parametrize("error", CATALOGUE, ids=lambda error: error.code)
def test_every_error_is_described_where_it_can_occur(error: Any) -> None:
    over_http, on_websocket = json.dumps(OPENAPI), json.dumps(ASYNCAPI)
    only_http = ("method_not_allowed", "request_timeout", "unsupported_media_type", "upgrade_required")
    assert (f"`{error.code}`" in on_websocket) is (error.code not in only_http)
    # Whoever goes by the document asks with the right method, and does not ask for the WebSocket.
    assert (f"`{error.code}`" in over_http) is (error.code not in ("method_not_allowed", "upgrade_required"))


# -- HTTP --


@each_command
def test_a_command_is_described_over_http(declaration: Declaration) -> None:
    described = operation(declaration)
    assert described["operationId"] == declaration.name
    assert described["summary"] == declaration.summary
    fields = {field.name for field in msgspec.structs.fields(declaration.shape)} - {"id"}
    named = {parameter["name"] for parameter in described["parameters"] if "name" in parameter}
    if declaration.route.method == "POST":
        named |= described["requestBody"]["content"]["application/json"]["schema"]["properties"].keys()
    assert named == fields
    for error in declaration.errors:
        response = resolved(OPENAPI, described["responses"][str(error.status)]["$ref"])
        assert f"`{error.code}`" in response["description"]


@each_command
def test_a_described_request_is_carried_out(declaration: Declaration) -> None:
    """Its example fits the description, and the server."""
    described, fields = operation(declaration), example_fields(declaration)
    path = declaration.route.path.format_map(fields)
    if declaration.route.method == "GET":
        assert World().ask("GET", path).status == 200
        return
    media = described["requestBody"]["content"]["application/json"]
    check(OPENAPI, media["schema"], media["example"])
    assert World().ask("POST", path, media["example"]).status == 200


def test_what_is_answered_fits_the_description() -> None:
    body = json.loads(msgspec.json.encode(SYNCED))
    del body["type"]
    schema = resolved(OPENAPI, "#/paths/~1v1~1sync/post/responses/200/content/application~1json/schema")
    check(OPENAPI, schema, body)
    with pytest.raises(ValidationError, match="is not valid under any of the given schemas"):
        check(OPENAPI, schema, body | {"events": [{"type": "hello"}]})


def test_what_is_refused_fits_the_description() -> None:
    for error in (World().ask("POST", "/v1/sync", {"limit": 0}), World().ask("GET", "/v1/ping", Authorization="")):
        check(OPENAPI, {"$ref": "#/components/schemas/Problem"}, error.problem)
    check(OPENAPI, {"$ref": "#/components/schemas/Problem"}, json.loads(problems.body(RateLimited(retry_after_ms=1))))


def test_the_token_is_shown_as_a_bearer_token() -> None:
    assert OPENAPI["security"] == [{"bearer": []}]
    assert OPENAPI["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


# -- WebSocket --


@pytest.mark.parametrize("name", ["auth", *(declaration.name for declaration in DECLARATIONS)])
def test_a_command_is_described_on_the_websocket(name: str) -> None:
    described = ASYNCAPI["operations"][name]
    assert described["action"] == "receive"
    replies = [reference["$ref"].rpartition("/")[2] for reference in described["reply"]["messages"]]
    assert replies == [f"{name}.ok", "error"]


@each_command
def test_the_errors_and_events_of_a_command_are_described(declaration: Declaration) -> None:
    described = ASYNCAPI["operations"][declaration.name]["description"]
    assert all(f"`{error.code}`" in described for error in declaration.errors)
    told = {reference["$ref"].rpartition("/")[2] for reference in ASYNCAPI["operations"]["events"]["messages"]}
    assert told >= {event.__struct_config__.tag for event in declaration.emits} | {"hello", "conversation.stale"}


@pytest.mark.parametrize("name", ["auth", *(declaration.name for declaration in DECLARATIONS)])
def test_an_example_is_a_command_and_fits_the_description(name: str) -> None:
    message = ASYNCAPI["components"]["messages"][name]
    payload = message["examples"][0]["payload"]
    check(ASYNCAPI, message["payload"], payload)
    shapes = {shape.__struct_config__.tag: shape for shape in (Auth, *(d.shape for d in DECLARATIONS))}
    assert JsonCodec(shapes[name]).decode(json.dumps(payload).encode()).id == 7


def test_what_is_said_on_a_websocket_fits_the_description() -> None:
    codec, messages = JsonCodec(Auth), ASYNCAPI["components"]["messages"]
    reply = json.loads(codec.encode_reply(7, SYNCED))
    check(ASYNCAPI, messages["sync.ok"]["payload"], reply)
    with pytest.raises(ValidationError, match="is not of type 'integer'"):
        check(ASYNCAPI, messages["sync.ok"]["payload"], reply | {"id": "7"})
    for name in ("id", "type"):
        with pytest.raises(ValidationError, match=f"'{name}' is a required property"):
            check(ASYNCAPI, messages["sync.ok"]["payload"], {n: v for n, v in reply.items() if n != name})
    for id in (7, None):
        check(ASYNCAPI, messages["error"]["payload"], json.loads(codec.encode_error(id, RateLimited(retry_after_ms=1))))
    for event in EVENTS:
        name = event.__struct_config__.tag
        check(ASYNCAPI, messages[name]["payload"], json.loads(codec.encode_event(event)))
