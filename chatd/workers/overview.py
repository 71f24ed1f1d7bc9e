"""What the parent serves on the port of the metrics: all workers' figures, and how the workers are."""

# Twisted's HTTP classes are only partly annotated.
# mypy: allow-untyped-calls

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from chatd.edge.operator import OperatorSite
from chatd.records.condition import Dependency, Status, status
from chatd.workers.slot import State

log = Logger()


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """``workers`` is what each is at, by its number; ``dependencies`` are how what they need is."""

    status: Status
    workers: dict[str, str]
    dependencies: dict[str, Dependency]


class Overview(Resource):
    """``/healthz`` while the parent lives, ``/readyz`` 200 while every worker is ready, and ``/metrics``.

    ``dependencies`` are how what workers and parent need is.
    """

    isLeaf = True

    def __init__(
        self,
        ready: Callable[[], bool],
        states: Callable[[], dict[int, State]],
        dependencies: Callable[[], dict[str, Dependency]],
        page: Callable[[], Awaitable[bytes]],
    ) -> None:
        super().__init__()
        self._dependencies = dependencies
        self._ready = ready
        self._states = states
        self._page = page

    def render_GET(self, request: Request) -> bytes | int:
        """The answer, now or later."""
        if request.path == b"/healthz":
            return _json(request, HTTPStatus.OK, b'{"status":"alive"}')
        if request.path == b"/readyz":
            return self._readiness(request)
        if request.path == b"/metrics":
            gone = Deferred.fromCoroutine(self._metrics(request))
            gone.addErrback(lambda failure: _failed(request, failure))
            return NOT_DONE_YET
        return _json(request, HTTPStatus.NOT_FOUND, b'{"status":"not found"}')

    def _readiness(self, request: Request) -> bytes:
        ready, dependencies = self._ready(), self._dependencies()
        states = {str(number): state.name.lower() for number, state in self._states().items()}
        answer = Readiness(status=status(ready, dependencies), workers=states, dependencies=dependencies)
        return _json(request, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, msgspec.json.encode(answer))

    async def _metrics(self, request: Request) -> None:
        hung_up: list[Failure] = []
        request.notifyFinish().addErrback(hung_up.append)
        page = await self._page()
        if not hung_up:
            request.responseHeaders.setRawHeaders(b"Content-Type", [CONTENT_TYPE_LATEST.encode()])
            request.write(page)
            request.finish()


def _json(request: Request, status: HTTPStatus, body: bytes) -> bytes:
    request.setResponseCode(status)
    request.responseHeaders.setRawHeaders(b"Content-Type", [b"application/json"])
    return body


def _failed(request: Request, failure: Failure) -> None:
    log.failure("the metrics could not be told", failure)
    request.setResponseCode(HTTPStatus.INTERNAL_SERVER_ERROR)
    request.finish()


class OverviewSite(OperatorSite):
    """Serves that and nothing else."""

    def __init__(self, overview: Overview, reactor: IReactorTime) -> None:
        super().__init__(overview, reactor)
