"""Who asks."""

from collections.abc import Awaitable
from typing import Any, Protocol

from chatd.state.delivery import Delivery


class Caller(Protocol):
    """The connection or HTTP request behind a command, as far as handlers may know it."""

    @property
    def user(self) -> str:
        """Whom it speaks for."""

    @property
    def device(self) -> str:
        """On which of their devices."""

    @property
    def token_id(self) -> str | None:
        """The ``jti`` of the token that it has shown."""

    @property
    def scopes(self) -> frozenset[str]:
        """What else that token allows, of :data:`~chatd.security.scopes.KNOWN`."""

    @property
    def delivery(self) -> Delivery[Any] | None:
        """Where its events go; None over HTTP, where they stand in the reply."""

    def drained(self) -> Awaitable[None]:
        """Waits until the peer reads, or has gone."""
