"""The commands over HTTP: one generic resource, made from the declarations that the router has.

Fields, limits and errors are those of the WebSocket. A GET takes its fields from path and query, a POST from path
and JSON body. The reply is the WebSocket's without ``id`` and ``type``: the response itself says both.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from werkzeug.exceptions import MethodNotAllowed as NoSuchMethod
from werkzeug.exceptions import NotFound as NoSuchPath
from werkzeug.routing import Map, Rule

from chatd.edge import cors, quotas
from chatd.edge.arguments import Arguments
from chatd.edge.gateway import Gateway, RequestCaller
from chatd.edge.handshake import bearer_token, device_name
from chatd.edge.on_behalf import HEADER, on_behalf_of
from chatd.edge.reading import JSON
from chatd.edge.request import ChatRequest
from chatd.errors import (
    ChatdError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    UnsupportedMediaType,
)
from chatd.wire.commands import Command, Declaration, Reply

log = Logger()

_TAG = b'{"type":"ok"'


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Where a command is asked for."""

    declaration: Declaration
    arguments: Arguments


class RestResource:
    """Answers to every command's route."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._encode = msgspec.json.Encoder().encode
        # Paths are matched as they were sent and their fields decoded afterwards, so that those may hold slashes.
        rules = [_rule(declaration) for declaration in gateway.router.declarations]
        self._routes = Map(rules, strict_slashes=True, merge_slashes=False).bind("")

    def render(self, request: ChatRequest) -> None:
        """Answer ``request``, now or later."""
        Deferred.fromCoroutine(self._answer(request)).addErrback(request.failed)

    async def _answer(self, request: ChatRequest) -> None:
        try:
            self._admit(request)
            if request.method == b"OPTIONS":
                self._tell_methods(request)
                return
            reply = await self._carry_out(request)
        except ChatdError as error:
            request.refuse(error)
        else:
            request.answer(HTTPStatus.OK, JSON, self._body(reply))

    def _admit(self, request: ChatRequest) -> None:
        """Raise RateLimited, which a page may read that may ask at all, or Forbidden; either way it is counted."""
        try:
            cors.admit(request, self._gateway.settings.origins.allowed)
        finally:
            request.count()

    async def _carry_out(self, request: ChatRequest) -> Reply:
        endpoint, path = self._endpoint(request)
        caller = await self._caller(request)
        command = _command(request, endpoint, path)
        replying = self._gateway.router.dispatch(caller, command)
        # As it stands once this has been taken; another limit's standing comes with its error.
        standing = self._gateway.throttle.standing(caller.allowance, endpoint.declaration)
        for name, value in quotas.fields(standing) if standing is not None else ():
            request.set_header(name, value)
        return await replying

    def _body(self, reply: Reply) -> bytes:
        return b"{" + self._encode(reply).removeprefix(_TAG).removeprefix(b",")

    # -- where to --

    def _endpoint(self, request: ChatRequest) -> tuple[Endpoint, dict[str, str]]:
        path, method = _ascii(request.path), _ascii(request.method)
        try:
            endpoint, fields = self._routes.match(path, method)
        except NoSuchPath:
            raise NotFound from None
        except NoSuchMethod:
            request.set_header(b"Allow", self._allowed(path))
            raise MethodNotAllowed from None
        return endpoint, dict(fields)

    def _allowed(self, path: str) -> bytes:
        return ", ".join(sorted({*self._routes.allowed_methods(path), "OPTIONS"})).encode()

    def _tell_methods(self, request: ChatRequest) -> None:
        """What may be asked here: also the preflight of a browser's page of another, allowed origin."""
        path = _ascii(request.path)
        if not self._routes.allowed_methods(path):
            raise NotFound
        allowed = self._allowed(path)
        request.set_header(b"Allow", allowed)
        cors.tell_preflight(request, allowed)
        request.empty(HTTPStatus.NO_CONTENT)

    # -- who asks --

    async def _caller(self, request: ChatRequest) -> RequestCaller:
        token = bearer_token(request.header(b"Authorization"))
        if token is None:
            raise Unauthorized
        device = device_name(request.header(b"Chatd-Device"))
        socket = request.channel.socket
        claims = await self._gateway.identify(token, device, request.client_address)
        socket.authenticated()
        acting = on_behalf_of(claims, request.header(HEADER))
        if acting is claims:
            self._gateway.arrived(claims, device)
        else:
            method, path = _ascii(request.method), _ascii(request.path)
            log.info(
                "{service} acts for {user}: {method} {path}",
                service=claims.user,
                user=acting.user,
                method=method,
                path=path,
                request=request.id,
            )
        request.asker = acting.user
        # The request was counted for its address when it came.
        return RequestCaller(acting, device, request.id, self._gateway.throttle.allowance(acting.user))


def _rule(declaration: Declaration) -> Rule:
    path = re.sub(r"\{(\w+)\}", r"<\1>", declaration.route.path)
    return Rule(path, methods=[declaration.route.method], endpoint=Endpoint(declaration, Arguments(declaration)))


def _command(request: ChatRequest, endpoint: Endpoint, path: dict[str, str]) -> Command:
    if endpoint.declaration.route.method == "GET":
        if request.body:
            raise Invalid("A GET has no body: its fields stand in path and query.")
        return endpoint.arguments.from_query(path, request.query)
    if request.query:
        raise Invalid("A POST has no query: its fields stand in path and body.")
    media_type, _, _ = (request.header(b"Content-Type") or "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    return endpoint.arguments.from_body(path, request.body)


def _ascii(text: bytes) -> str:
    """Request targets are ASCII; what is not matches no path."""
    return text.decode("ascii", "replace")
