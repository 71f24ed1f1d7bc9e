"""Revocation by the product: its back end, with a token of the scope ``chatd:revoke``, ends tokens of anybody.

The change stands in the event queue of the person whose tokens they are, so that their devices learn of it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from chatd.errors import Conflict, Forbidden, Invalid, Unauthorized, Unchanged
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, draft, told_as
from chatd.handlers.revisions import Changed, changed
from chatd.interfaces.bus import IBus
from chatd.interfaces.log import ILog
from chatd.interfaces.tokens import ITokenReader
from chatd.records.base import Effect
from chatd.records.devices import EndDevices, RevokeTokens, TokensRevoked
from chatd.records.logs import Appended
from chatd.security.scopes import REVOKE
from chatd.state.authors import Authors
from chatd.state.queues import queue_roster
from chatd.wire.commands import Command, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import NO_NUL, ClientId, DeviceId, Token, UserId

TokenId = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=NO_NUL, description="The `jti` of a token.", examples=["t-1"])
]


class RevokedContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a revocation: which tokens it is about."""

    device: str | None = None
    token_id: str | None = None
    issued_until: int | None = None


class Revoked(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="token.revoked"):
    """The product has revoked tokens of yours: those of ``device``, those issued until then, a single one, or all."""

    device: DeviceId | None = None
    token_id: TokenId | None = None
    issued_until: int | None = None
    unreadable: bool = False


REVOKED = Kind("token.revoked", RevokedContent, told_as(Revoked, author=None))


class RevokeToken(Command, frozen=True, kw_only=True, tag="token.revoke"):
    """Either ``token``, or ``user``: then all of their tokens, unless one of the other fields says which.

    ``issued_until`` is in whole seconds since the epoch, as a token's ``iat`` is.
    """

    client_id: ClientId
    token: Token | None = None
    user: UserId | None = None
    token_id: TokenId | None = None
    device: DeviceId | None = None
    issued_until: Annotated[int, Meta(ge=0, le=253_402_300_799)] | None = None


class Tokens:
    """The command that revokes tokens. Revocations are kept for ``kept_seconds``, the longest that any token lives."""

    def __init__(
        self,
        log: ILog,
        reader: ITokenReader,
        authors: Authors,
        bus: IBus,
        now: Callable[[], datetime],
        *,
        kept_seconds: float,
    ) -> None:
        self._log = log
        self._reader = reader
        self._authors = authors
        self._bus = bus
        self._now = now
        self._kept_seconds = kept_seconds

    @command(
        RevokeToken,
        reply=Changed,
        route=Route("POST", "/v1/tokens/revoke"),
        errors=(Invalid, Forbidden, Conflict, Unchanged),
        emits=(Revoked,),
        ordered_by=lambda caller, ask: "tokens",
        hands_on=True,
        example={"client_id": "c8", "user": "bob", "device": "tablet"},
    )
    async def revoke(self, caller: Caller, ask: RevokeToken) -> Awaitable[Changed]:
        """Revoke tokens of anybody. The caller's own token needs the scope `chatd:revoke`.

        By `token`, as in RFC 7009; by `user` and `token_id`; by `user` and `device`; by `user` and `issued_until`; or
        by `user` alone. What lives on them is closed within a second, and they are refused from then on. A `token`
        that nobody would take is answered with `unchanged`.
        """
        if REVOKE not in caller.scopes:
            raise Forbidden(f"This needs a token with the scope `{REVOKE}`.")
        _check(ask)
        now = self._now().timestamp()
        if ask.token is not None:
            return await self._by_token(caller, ask.client_id, ask.token, now)
        assert ask.user is not None
        until = now + self._kept_seconds
        effect: Effect
        if ask.token_id is None and ask.issued_until is None:
            effect = EndDevices(
                user=ask.user, device=ask.device, kept="", spared=None, issued_until=now, kept_until=until
            )
        else:
            issued_until = now if ask.issued_until is None else ask.issued_until
            if issued_until > now:
                raise Invalid("`issued_until` is still to come.")
            effect = RevokeTokens(user=ask.user, token_id=ask.token_id, issued_until=issued_until, kept_until=until)
        content = RevokedContent(device=ask.device, token_id=ask.token_id, issued_until=ask.issued_until)
        return await self._append(caller, ask.client_id, ask.user, content, effect)

    async def _by_token(self, caller: Caller, client_id: str, token: str, now: float) -> Awaitable[Changed]:
        try:
            claims = await self._reader.recognise(token)
        except Unauthorized:
            raise Unchanged("This token is not taken anyway.") from None
        if claims.token_id is None:
            raise Invalid("The token has no `jti`: revoke by `user` and `issued_until`.")
        effect = RevokeTokens(
            user=claims.user, token_id=claims.token_id, issued_until=now, kept_until=max(now, claims.expires_at)
        )
        content = RevokedContent(token_id=claims.token_id)
        return await self._append(caller, client_id, claims.user, content, effect)

    async def _append(
        self, caller: Caller, client_id: str, user: str, content: RevokedContent, effect: Effect
    ) -> Awaitable[Changed]:
        change = draft(
            REVOKED,
            content,
            author=caller.user,
            client_id=client_id,
            key=await self._authors.writing(caller.user),
            roster=queue_roster(user),
            begins=True,
            effects=(effect,),
        )
        return self._done(self._log.append(change))

    async def _done(self, committed: Awaitable[Appended]) -> Changed:
        done = await changed(committed)
        self._bus.signal(TokensRevoked())
        return done


def _check(ask: RevokeToken) -> None:
    """Refuse what says two things, or nothing."""
    which = [name for name in ("token_id", "device", "issued_until") if getattr(ask, name) is not None]
    if (ask.token is None) == (ask.user is None):
        raise Invalid("Give either `token` or `user`.")
    if ask.token is not None and which:
        raise Invalid(f"A `token` says all of it: leave `{which[0]}` out.")
    if len(which) > 1:
        raise Invalid(f"Give one of `{which[0]}` and `{which[1]}`.")
