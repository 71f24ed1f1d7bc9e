"""Resources that are only read."""

from http import HTTPStatus

from chatd.edge.request import ChatRequest
from chatd.errors import MethodNotAllowed

JSON = b"application/json"
READ_METHODS = b"GET, HEAD, OPTIONS"


class ReadOnly:
    """Base of what answers to GET alone, the same for whoever asks."""

    def render(self, request: ChatRequest) -> None:
        """Answer ``request`` at once."""
        if request.method in (b"GET", b"HEAD"):
            self.read(request)
        else:
            request.set_header(b"Allow", READ_METHODS)
            if request.method == b"OPTIONS":
                request.empty(HTTPStatus.NO_CONTENT)
            else:
                request.refuse(MethodNotAllowed())

    def read(self, request: ChatRequest) -> None:
        """Answer ``request``."""
        raise NotImplementedError


class Document(ReadOnly):
    """A JSON document that does not change while the process runs."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def render(self, request: ChatRequest) -> None:
        request.count()
        super().render(request)

    def read(self, request: ChatRequest) -> None:
        request.answer(HTTPStatus.OK, JSON, self._content)
