"""The description of the commands over HTTP, in OpenAPI 3.1."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from chatd.edge import problems
from chatd.edge.arguments import Arguments
from chatd.edge.schemas import (
    Schema,
    Schemas,
    emitted,
    error_list,
    in_catalogue_order,
    log_events,
    markdown,
    tag,
    without_property,
)
from chatd.errors import (
    ChatdError,
    Forbidden,
    Internal,
    Invalid,
    Malformed,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    RequestTimeout,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from chatd.wire.commands import Declaration
from chatd.wire.events import LogEvent
from chatd.wire.session import DEFAULT_DEVICE
from chatd.wire.types import DeviceId

ANY = (Malformed, Invalid, Unauthorized, Forbidden, RequestTimeout, RateLimited, Internal, Overloaded, Unavailable)
WITH_BODY = (TooLarge, UnsupportedMediaType, OutcomeUnknown)

QUOTAS = {
    "RateLimit-Policy": "What the limit is, how much at once and in how many seconds",
    "RateLimit": "How much of it is left, and in how many seconds there is more",
}

RESPONSES = "#/components/responses/"

ABOUT = """\
Every command of chatd over plain HTTP. The same commands go over a WebSocket at `/v1/ws`, with the same fields, limits
and errors: see `/v1/asyncapi.json`. Events are not pushed over HTTP; ask for them with `POST /v1/sync`.

Errors are problem details (RFC 9457) with the members that the same errors have on the WebSocket; programs go by
`code`. Integers have at most 64 bits and are written without a fraction; of a key that is given twice in one object the
last counts; what a command does not name is refused.

How often a command may be asked for is limited. Its answer says what is left, in `RateLimit` and `RateLimit-Policy`.
Every answer names its request in `X-Request-Id`, under which the server's log has it; tell it when something is wrong.
"""


def openapi(declarations: Sequence[Declaration]) -> Schema:
    """The whole document."""
    arguments = {declaration.name: Arguments(declaration) for declaration in declarations}
    schemas = _schemas(declarations, arguments.values())
    paths: dict[str, Schema] = {}
    for declaration in declarations:
        operation = _operation(declaration, arguments[declaration.name], schemas)
        paths.setdefault(declaration.route.path, {})[declaration.route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "chatd", "version": "1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "parameters": {"Device": _device()},
            "responses": _responses(declarations, schemas),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the product's auth service. It is never taken from the query.",
                }
            },
        },
    }


def _schemas(declarations: Iterable[Declaration], arguments: Iterable[Arguments]) -> Schemas:
    events = log_events(emitted(declarations))
    fields = [shape for each in arguments for shape in (each.in_path, each.elsewhere)]
    replies = [declaration.reply for declaration in declarations]
    schemas = Schemas([problems.Problem, LogEvent, *events, *replies, *fields])
    for reply in dict.fromkeys(replies):
        without_property(schemas.of(reply), "type")
    mapping = {tag(event): schemas.reference(event)["$ref"] for event in events}
    one_of = [schemas.reference(event) for event in events]
    discriminator = {"propertyName": "type", "mapping": mapping}
    schemas.replace(LogEvent, {"oneOf": one_of, "discriminator": discriminator})
    return schemas


def _operation(declaration: Declaration, arguments: Arguments, schemas: Schemas) -> Schema:
    in_path, elsewhere = schemas.take(arguments.in_path), schemas.take(arguments.elsewhere)
    reading = declaration.route.method == "GET"
    parameters = [{"$ref": "#/components/parameters/Device"}, *_parameters(in_path, "path")]
    operation: Schema = {"operationId": declaration.name, "summary": declaration.summary}
    about = "\n\n".join(filter(None, (markdown(declaration.description), markdown(declaration.shape.__doc__ or ""))))
    operation["description"] = about
    if reading:
        parameters.extend(_parameters(elsewhere, "query", declaration.example))
    operation["parameters"] = parameters
    if not reading:
        media: Schema = {"schema": elsewhere}
        if declaration.example is not None:
            media["example"] = {name: v for name, v in declaration.example.items() if name not in in_path["properties"]}
        operation["requestBody"] = {"required": True, "content": {"application/json": media}}
    operation["responses"] = {"200": _reply(declaration, schemas), **_errors(declaration)}
    return operation


def _parameters(fields: Schema, place: str, example: Schema | None = None) -> list[Schema]:
    parameters = []
    for name, schema in fields["properties"].items():
        schema = _without_null(schema)
        description = schema.pop("description", "")
        parameter = {"name": name, "in": place, "required": name in fields.get("required", [])}
        parameter |= {"description": description, "schema": schema}
        if example and name in example:
            parameter["example"] = example[name]
        parameters.append(parameter)
    return parameters


def _without_null(schema: Schema) -> Schema:
    """A parameter that is not there is absent, never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    return dict(choices[0]) if len(choices) == 1 else dict(schema)


def _device() -> Schema:
    schema = dict(msgspec.json.schema(DeviceId))
    description = schema.pop("description")
    return {
        "name": "Chatd-Device",
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema | {"default": DEFAULT_DEVICE},
    }


def _reply(declaration: Declaration, schemas: Schemas) -> Schema:
    return {
        "description": schemas.of(declaration.reply).get("description", "Done."),
        "content": {"application/json": {"schema": schemas.reference(declaration.reply)}},
    }


def errors_over_http(declaration: Declaration) -> list[type[ChatdError]]:
    """All that a command may be refused with over HTTP."""
    of_a_body = () if declaration.route.method == "GET" else WITH_BODY
    return in_catalogue_order({*declaration.errors, *ANY, *of_a_body})


def _errors(declaration: Declaration) -> Schema:
    return {str(errors[0].status): {"$ref": RESPONSES + _name(errors)} for errors in _by_status(declaration)}


def _by_status(declaration: Declaration) -> list[list[type[ChatdError]]]:
    grouped = groupby(errors_over_http(declaration), key=lambda error: error.status)
    return [list(errors) for _, errors in grouped]


def _name(errors: Sequence[type[ChatdError]]) -> str:
    return "_or_".join(error.code for error in errors)


def _responses(declarations: Iterable[Declaration], schemas: Schemas) -> Schema:
    """Each set of errors that share a status in some answer, described once."""
    sets = [errors for declaration in declarations for errors in _by_status(declaration)]
    return {_name(errors): _refusal(errors, schemas) for errors in sorted(sets, key=lambda e: (e[0].status, _name(e)))}


def _refusal(errors: Sequence[type[ChatdError]], schemas: Schemas) -> Schema:
    codes = {"type": "object", "properties": {"code": {"enum": [error.code for error in errors]}}}
    schema = {"allOf": [schemas.reference(problems.Problem), codes]}
    response: Schema = {"description": error_list(errors)}
    headers = _headers(errors)
    if headers:
        response["headers"] = headers
    response["content"] = {problems.CONTENT_TYPE.decode(): {"schema": schema}}
    return response


def _headers(errors: Sequence[type[ChatdError]]) -> Schema:
    headers: Schema = {}
    if Unauthorized in errors:
        headers["WWW-Authenticate"] = {"description": "RFC 6750", "schema": {"type": "string", "const": "Bearer"}}
    if any(error.retryable for error in errors):
        headers["Retry-After"] = {
            "description": "Where waiting helps: for how many seconds.",
            "schema": {"type": "integer", "minimum": 0},
        }
    if RateLimited in errors:
        headers |= {name: _quota(about) for name, about in QUOTAS.items()}
    return headers


def _quota(about: str) -> Schema:
    return {"description": f"{about} (draft-ietf-httpapi-ratelimit-headers-10).", "schema": {"type": "string"}}
