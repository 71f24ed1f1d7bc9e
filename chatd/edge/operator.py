"""What is served to the operator on a port beside chatd's own: figures, and how the workers are.

It asks for no token, and yet it says no more than what is asked of it: errors are problem details, as everywhere, and
not the pages that Twisted would write, with its name on them.
"""

# Twisted's HTTP classes are not annotated.
# mypy: allow-untyped-calls

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from chatd.edge import problems
from chatd.edge.headers import COMMON
from chatd.errors import ChatdError, Internal, MethodNotAllowed


class OperatorChannel(HTTPChannel):
    """One connection to such a port."""

    site: "OperatorSite"


class OperatorRequest(Request):
    """A request that reads; the resource of its site answers to every path."""

    site: "OperatorSite"
    channel: OperatorChannel
    log = Logger()

    def process(self) -> None:
        self.site = self.channel.site
        self.setHeader(b"Date", datetimeToString())
        for name, value in COMMON:
            self.setHeader(name, value)
        try:
            if self.method in (b"GET", b"HEAD"):
                body = self.site.resource.render(self)
                if body != NOT_DONE_YET:
                    self._answer(body)
            else:
                self.setHeader(b"Allow", b"GET, HEAD")
                self._refuse(MethodNotAllowed())
        except Exception:
            self.log.failure("{method} {path} failed", Failure(), method=self.method, path=self.path)
            self._refuse(Internal())

    def _refuse(self, error: ChatdError) -> None:
        self.setResponseCode(error.status)
        for name, value in problems.headers(error):
            self.setHeader(name, value)
        self._answer(problems.body(error))

    def _answer(self, body: bytes) -> None:
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)
        self.finish()


class OperatorSite(Site):
    """Serves one resource, without an access log: figures are asked for every few seconds."""

    requestFactory = OperatorRequest

    def __init__(self, resource: Resource, reactor: IReactorTime) -> None:
        super().__init__(resource, reactor=reactor)

    def log(self, request: HttpRequest) -> None:
        """The reactor's time is no time of day."""
