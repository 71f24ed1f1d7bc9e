"""One HTTP request, and how it is answered."""

# Twisted's HTTP classes are not annotated.
# mypy: allow-untyped-calls

from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString
from twisted.web.server import Request

from chatd.edge import problems
from chatd.edge.channel import ChatChannel
from chatd.edge.request_id import HEADER, request_id
from chatd.errors import ChatdError, Internal, RateLimited

if TYPE_CHECKING:
    from chatd.edge.site import ChatSite


class ChatRequest(Request):
    """A request whose body is bounded, and whose cookies, forms and sessions are never looked at.

    ``query`` is what stands behind the ``?``, as sent; ``asker`` is who asks, once that is known, for the log; ``gone``
    is whether the client has closed the connection. ``id`` names it in the log and in the answer, ``client`` is the
    address that it counts for.
    """

    channel: ChatChannel
    site: "ChatSite"
    log = Logger()
    content: BytesIO
    id: str
    client: str
    query = b""
    body = b""
    asker: str | None = None
    gone = False
    _received = 0

    # -- as it comes in --

    def gotLength(self, length: int | None) -> None:
        """The head has come. Twisted would put bodies above a size into files; here they are smaller."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self.channel.site.gateway.settings.limits.max_body_bytes:
            self.channel.body_too_large()
        else:
            super().handleContentChunk(data)

    def parseCookies(self) -> None:
        """Browsers send cookies wherever any page bids them. Nobody here ever sees one: it proves nothing."""
        self.requestHeaders.removeHeader(b"Cookie")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The whole request has come. Twisted would read forms here, of any number of parts."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        self.body = self.content.getvalue()
        self.args = {}
        self.process()

    def process(self) -> None:
        self.site = self.channel.site
        self.set_header(b"Date", datetimeToString())
        for name, value in self.site.common_headers(self.isSecure()):
            self.set_header(name, value)
        given = self.requestHeaders.getRawHeaders(HEADER, []) if self.channel.peer.proxy else []
        self.id = request_id(given)
        self.set_header(HEADER, self.id.encode())
        self.client = self.site.gateway.clients.behind(self.channel.peer, self.requestHeaders)
        try:
            self.channel.serve_for(self.client)
            self.site.resource.render(self)
        except ChatdError as error:
            self.refuse(error)
        except Exception:
            self.failed(Failure())

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        super().connectionLost(reason)

    @property
    def secure(self) -> bool:
        """Whether the client came over TLS, ended here or at a proxy in front."""
        return self.site.gateway.settings.behind_proxy or self.isSecure()

    def header(self, name: bytes) -> str | None:
        """A header's value; of one that is given more than once, all of them, which then is none that holds."""
        values: Any = self.requestHeaders.getRawHeaders(name)
        return None if values is None else b", ".join(values).decode("latin-1")

    @property
    def client_address(self) -> str:
        """Whose rates it counts for; empty where that is not known."""
        return self.site.gateway.clients.rated(self.client)

    def count(self) -> None:
        """Count it for its address; raises RateLimited where there were too many. Health alone is told uncounted."""
        refusal = self.site.gateway.throttle.request_refusal(self.client_address)
        if refusal is not None:
            raise refusal

    # -- as it is answered --

    def set_header(self, name: bytes, value: bytes) -> None:
        """Give the answer a header, in place of what it had under that name."""
        self.responseHeaders.setRawHeaders(name, [value])

    def answer(self, status: int, content_type: bytes, content: bytes) -> None:
        """Answer, unless the client has gone."""
        if self.gone:
            return
        self.setResponseCode(status)
        self.set_header(b"Content-Type", content_type)
        self.set_header(b"Content-Length", b"%d" % len(content))
        self.write(content)
        self.finish()

    def refuse(self, error: ChatdError) -> None:
        """Answer with problem details, unless the client has gone; who insists is not listened to any longer."""
        if isinstance(error, RateLimited) and not self.gone:
            self.channel.lose_patience()
        for name, value in problems.headers(error):
            self.set_header(name, value)
        self.answer(error.status, problems.CONTENT_TYPE, problems.body(error))

    def failed(self, failure: Failure) -> None:
        """Answer that something went wrong which nobody had foreseen, and log what."""
        self.log.failure(
            "{method} {path} failed",
            failure,
            method=self.method,
            path=self.path,
            request=self.id,
            user=self.asker,
            client=self.client,
        )
        if not self.startedWriting:
            self.refuse(Internal())

    def empty(self, status: int) -> None:
        """Answer without a body, unless the client has gone."""
        if not self.gone:
            self.setResponseCode(status)
            self.write(b"")
            self.finish()
