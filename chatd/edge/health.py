"""Whether the process serves, and whether it can carry out commands; for load balancers and supervisors."""

from collections.abc import Callable
from http import HTTPStatus

from chatd.edge.reading import JSON, ReadOnly
from chatd.edge.request import ChatRequest


class Health(ReadOnly):
    """Answers for as long as the process serves at all."""

    def read(self, request: ChatRequest) -> None:
        request.answer(HTTPStatus.OK, JSON, b'{"status":"alive"}')


class Readiness(ReadOnly):
    """200 while commands can be carried out, else 503, so that a load balancer sends its clients elsewhere."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    def read(self, request: ChatRequest) -> None:
        if self._ready():
            request.answer(HTTPStatus.OK, JSON, b'{"status":"ready"}')
        else:
            request.answer(HTTPStatus.SERVICE_UNAVAILABLE, JSON, b'{"status":"not ready"}')
