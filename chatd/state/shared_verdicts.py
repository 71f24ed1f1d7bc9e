"""What auth services have said about tokens to any worker of late."""

from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import asdict

from chatd.records.base import Record
from chatd.records.tokens import Claims, ShownToken
from chatd.state.shelf import Shelf
from chatd.state.verdicts import Verdict

MOST_CHARS: Final = 2048

Text = Annotated[str, Meta(max_length=MOST_CHARS)]


class VouchedClaims(Record, frozen=True, kw_only=True, gc=False):
    """What an auth service says of a token that says nothing itself; see :class:`~chatd.records.tokens.Claims`."""

    user: Text
    issuer: Text
    expires_at: float
    token_id: Text | None = None
    issued_at: float | None = None
    name: Text | None = None
    picture: Text | None = None
    scopes: frozenset[Text] = frozenset()


class Vouched(Record, frozen=True, kw_only=True, gc=False):
    """An auth service stands by a token."""

    user: str | None
    claims: VouchedClaims | None


class SharedVerdicts:
    """One auth service's good verdicts, by way of ``shelf``, whose values are believed as long as a verdict counts.

    Bad ones stay with the worker that heard them. ``context`` is what a verdict depends on besides the token: whose it
    is, and for whom.
    """

    def __init__(self, shelf: Shelf[Vouched], context: str) -> None:
        self._shelf = shelf
        self._context = context
        self.now = shelf.now

    async def get(self, token: ShownToken, clock: Callable[[], float]) -> Verdict | None:
        """The verdict on ``token``, if one is kept; ``clock`` gives the worker's monotonic time."""
        digest = token.digest.hex()
        found = (await self._shelf.get([digest], self._context)).get(digest)
        if found is None:
            return None
        user, said = found.value.user, found.value.claims
        claims = None if said is None else Claims(**asdict(said))
        return Verdict(active=True, at=clock() - found.age, user=user, claims=claims)

    def keep(self, token: ShownToken, verdict: Verdict, as_of: float) -> None:
        """Share the good answer to a question that was put at ``as_of``, by ``now``."""
        said = None
        if verdict.claims is not None:
            claims = asdict(verdict.claims)
            said = VouchedClaims(**{field: claims[field] for field in VouchedClaims.__struct_fields__})
        self._shelf.put({token.digest.hex(): Vouched(user=verdict.user, claims=said)}, as_of, self._context)

    def forget(self, token: ShownToken) -> None:
        """Its auth service no longer stands by ``token``."""
        self._shelf.forget([token.digest.hex()])
