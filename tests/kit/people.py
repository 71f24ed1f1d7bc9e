"""People who use a real server."""

from tests.kit.clients import AutobahnClient, Client, HttpClient, autobahn_client
from tests.kit.raw import RawSocket
from tests.kit.server import Server
from tests.kit.tokens import AuthService


class Person:
    """Somebody with a token, and the ways to connect."""

    def __init__(self, name: str, server: Server, auth: AuthService) -> None:
        self.name = name
        self._server = server
        self._auth = auth

    def token(self, *, lifetime: float = 3600.0, **claims: str) -> str:
        return self._auth.token(self.name, lifetime=lifetime, **claims)

    def connect(self, *, device: str | None = None, **options: object) -> Client:
        """Open a WebSocket by the ``websockets`` library."""
        return Client(self._server.url, self.token(), device=device, **options)

    def http(self, *, device: str | None = None) -> HttpClient:
        return HttpClient(self._server.http_url, self.token(), device=device)

    def raw(self, *, device: str | None = None, receive_buffer: int | None = None) -> RawSocket:
        """A WebSocket made by hand."""
        return RawSocket.upgraded(self._server.url, self.token(), device=device, receive_buffer=receive_buffer)

    async def autobahn(self, *, device: str | None = None, **options: str) -> AutobahnClient:
        """Open a WebSocket by Autobahn."""
        return await autobahn_client(self._server.url, self.token(), device=device, **options)
