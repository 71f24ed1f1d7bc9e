"""Whether the process serves, and how well it can carry out commands; for load balancers and supervisors."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from chatd.edge.reading import JSON, ReadOnly
from chatd.edge.request import ChatRequest
from chatd.records.condition import Condition


class Health(ReadOnly):
    """Answers for as long as the process serves at all."""

    def read(self, request: ChatRequest) -> None:
        request.answer(HTTPStatus.OK, JSON, b'{"status":"alive"}')


class Readiness(ReadOnly):
    """200 while commands can be carried out, else 503, so that a load balancer sends its clients elsewhere.

    The body says how well, and what is wrong with what. Where that is only degraded, other workers are so too: to be
    sent to them would help nobody.
    """

    def __init__(self, condition: Callable[[], Condition]) -> None:
        self._condition = condition

    def read(self, request: ChatRequest) -> None:
        condition = self._condition()
        status = HTTPStatus.SERVICE_UNAVAILABLE if condition.status == "not ready" else HTTPStatus.OK
        request.answer(status, JSON, msgspec.json.encode(condition))
