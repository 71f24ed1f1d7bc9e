"""The description of the WebSocket, in AsyncAPI 3.0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from chatd.edge.schemas import (
    Schema,
    Schemas,
    error_list,
    example_fields,
    in_catalogue_order,
    log_events,
    markdown,
    tag,
)
from chatd.errors import (
    CATALOGUE,
    ChatdError,
    CloseCode,
    Forbidden,
    Internal,
    Invalid,
    Malformed,
    MethodNotAllowed,
    Overloaded,
    RateLimited,
    RequestTimeout,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    UpgradeRequired,
)
from chatd.wire.codec import ErrorReply, JsonCodec, MsgpackCodec
from chatd.wire.commands import Command, Declaration, Done, Reply
from chatd.wire.events import ConversationStale, Event, Goaway, Hello, LogEvent, TokenExpiring
from chatd.wire.session import DEFAULT_DEVICE, Auth
from chatd.wire.types import DeviceId

HTTP_ONLY = (MethodNotAllowed, RequestTimeout, UnsupportedMediaType, UpgradeRequired)
ANY = (Malformed, Invalid, Unauthorized, Forbidden, RateLimited, Internal, Overloaded, Unavailable)

UNASKED: frozenset[type[Event]] = frozenset([ConversationStale, Goaway])
"""Events that come of no command."""
CHANNEL = "#/channels/connection"

ABOUT = """\
One connection carries commands from the client, a reply to each, and events. The same commands go over plain HTTP:
see `/v1/openapi.json`.

The token stands in the `Authorization` header of the handshake, or in `auth`, which then is the first message; it is
never taken from the URL. `hello` follows. Nothing else is delivered before the first `sync`. Commands may be sent
without waiting for replies; a reply carries the `id` of its command, and replies come in any order.

Integers have at most 64 bits and are written without a fraction; of a key that is given twice in one object the last
counts; what a command does not name is refused.
"""


@dataclass(frozen=True)
class Exchange:
    """A command and what may come of it."""

    shape: type[Command]
    reply: type[Reply]
    summary: str
    description: str
    errors: tuple[type[ChatdError], ...]
    emits: tuple[type[Event], ...]
    example: Mapping[str, Any]

    @property
    def name(self) -> str:
        return tag(self.shape)


AUTH = Exchange(
    shape=Auth,
    reply=Done,
    summary="Show a token.",
    description="",
    errors=(Unauthorized,),
    emits=(Hello, TokenExpiring),
    example={"token": "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.e30.c2lnbmF0dXJl"},
)


def asyncapi(declarations: Sequence[Declaration]) -> Schema:
    """The whole document."""
    exchanges = [AUTH, *(_exchange(declaration) for declaration in declarations)]
    events = sorted({event for exchange in exchanges for event in exchange.emits} | UNASKED, key=tag)
    schemas = _schemas(exchanges, events)
    messages = _messages(exchanges, events, schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "chatd", "version": "1", "description": ABOUT},
        "defaultContentType": "application/json",
        "servers": {"chatd": _server()},
        "channels": {"connection": _channel(messages)},
        "operations": {exchange.name: _command(exchange) for exchange in exchanges} | {"events": _events(events)},
        "components": {
            "messages": messages,
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _exchange(declaration: Declaration) -> Exchange:
    return Exchange(
        shape=declaration.shape,
        reply=declaration.reply,
        summary=declaration.summary,
        description=declaration.description,
        errors=declaration.errors,
        emits=declaration.emits,
        example=example_fields(declaration),
    )


def _schemas(exchanges: Sequence[Exchange], events: Sequence[type[Event]]) -> Schemas:
    shapes = [exchange.shape for exchange in exchanges]
    replies = [exchange.reply for exchange in exchanges]
    schemas = Schemas([ErrorReply, LogEvent, *events, *shapes, *replies])
    identifier = schemas.of(Auth)["properties"]["id"]
    for reply in dict.fromkeys(replies):
        schema = schemas.of(reply)
        schema["properties"] = {"id": {**identifier, "description": "That of the command."}, **schema["properties"]}
        schema["required"] = ["id", *schema["required"]]
    one_of = [schemas.reference(event) for event in log_events(events)]
    schemas.replace(LogEvent, {"oneOf": one_of, "discriminator": "type"})
    return schemas


def _messages(exchanges: Sequence[Exchange], events: Sequence[type[Event]], schemas: Schemas) -> Schema:
    messages: Schema = {}
    for exchange in exchanges:
        messages[exchange.name] = {
            "summary": exchange.summary,
            "correlationId": {"location": "$message.payload#/id"},
            "payload": schemas.reference(exchange.shape),
            "examples": [{"payload": {"id": 7, "type": exchange.name, **exchange.example}}],
        }
        messages[_ok(exchange)] = {
            "summary": f"The reply to `{exchange.name}`.",
            "correlationId": {"location": "$message.payload#/id"},
            "payload": schemas.reference(exchange.reply),
        }
    for event in events:
        messages[tag(event)] = {"summary": _first_line(event), "payload": schemas.reference(event)}
    messages["error"] = {
        "summary": "The reply to a command that was refused or failed.",
        "description": error_list([error for error in CATALOGUE if error not in HTTP_ONLY]),
        "correlationId": {"location": "$message.payload#/id"},
        "payload": schemas.reference(ErrorReply),
    }
    return messages


def _ok(exchange: Exchange) -> str:
    return f"{exchange.name}.ok"


def _first_line(type: type[Event]) -> str:
    return markdown(type.__doc__ or "").partition("\n")[0]


def _server() -> Schema:
    return {
        "host": "{host}",
        "protocol": "wss",
        "protocolVersion": "13",
        "description": "Wherever the operator runs it; over TLS, ended by chatd or by a proxy in front of it.",
        "variables": {"host": {"default": "localhost:8443", "description": "Host and port."}},
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    }


def _channel(messages: Schema) -> Schema:
    subprotocols = [JsonCodec.subprotocol, MsgpackCodec.subprotocol]
    headers = {
        "type": "object",
        "properties": {
            "Sec-WebSocket-Protocol": {"type": "string", "enum": subprotocols},
            "Authorization": {"type": "string", "description": "`Bearer` and the token."},
            "Chatd-Device": msgspec.json.schema(DeviceId) | {"default": DEFAULT_DEVICE},
        },
        "required": ["Sec-WebSocket-Protocol"],
    }
    codes = "\n".join(f"- {code.value}: {code.name.replace('_', ' ').lower()}" for code in CloseCode)
    return {
        "address": "/v1/ws",
        "title": "A connection",
        "description": f"Speaks `{subprotocols[0]}` in text frames or `{subprotocols[1]}` in binary frames: the same "
        "messages in JSON or MessagePack.\n\nClose codes; 4000 to 4499 mean: come back and resume, 4500 to 4999: do "
        f"not come back like this.\n\n{codes}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
    }


def _command(exchange: Exchange) -> Schema:
    errors = in_catalogue_order({*exchange.errors, *ANY})
    about = [markdown(exchange.description), f"May be answered with these errors:\n\n{error_list(errors)}"]
    return {
        "action": "receive",
        "channel": {"$ref": CHANNEL},
        "summary": exchange.summary,
        "description": "\n\n".join(filter(None, about)),
        "messages": [_in_channel(exchange.name)],
        "reply": {"channel": {"$ref": CHANNEL}, "messages": [_in_channel(_ok(exchange)), _in_channel("error")]},
    }


def _events(events: Sequence[type[Event]]) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": CHANNEL},
        "summary": "What the server says unasked.",
        "messages": [_in_channel(tag(event)) for event in events],
    }


def _in_channel(message: str) -> Schema:
    return {"$ref": f"{CHANNEL}/messages/{message}"}
