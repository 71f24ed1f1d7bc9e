"""How much this worker serves whom: its rate limits, and what each caller has left of them.

========================  ================  ======================================================
limit                     kept by           what takes of it
========================  ================  ======================================================
``read`` ... ``search``   user              a command of that class, its cost
``connection``            WebSocket         a command, its cost
``address``               client's address  a command on a WebSocket, or an HTTP request: 1
``refused``               socket            a command or request that was refused: 1
``failed_auth``           client's address  a token that does not hold: 1
``connects_per_address``  client's address  a connect: 1
``connects``              worker            a connect: 1
========================  ================  ======================================================

Everything is decided here and at once, so that commands keep their order; :mod:`chatd.state.spending` tells other
workers what was had. A client whose address is not known, since a proxy is between, has the empty one, and what is kept
by address does not limit it.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final, Literal, get_args

from chatd.errors import RateLimited
from chatd.security.limits import CAPACITY, Bucket, KeyedLimit, Limit, Rate, Standing
from chatd.settings.rates import Rates
from chatd.wire.commands import CommandClass, Declaration

KEY_BYTES: Final = 8
"""Of a key in the tables. Two of all that a table holds are alike with a probability below 10 to the -10."""

AUTH_COST: Final = 10
"""Of the commands on one connection: a signature is checked, and perhaps an auth service asked."""


class Allowance:
    """What one connection or request may have: by whom it is kept, and the bucket of the connection.

    ``user`` and ``client`` are keys of the worker's tables. An empty ``client`` is not limited by address, and without
    ``connection`` there is nothing that many commands come over.
    """

    __slots__ = ("client", "connection", "user")

    def __init__(self, user: bytes, client: bytes, connection: Bucket | None) -> None:
        self.user = user
        self.client = client
        self.connection = connection


class Throttle:
    """One worker's limits. ``clock`` gives seconds and only moves forward.

    ``secret`` is the same for all workers of an installation and known to nobody else, 64 bytes at most. The keys of
    the tables are digests under it, since other workers are told of them on a bus that others may read: without it, an
    address would be found by trying all that there are.
    """

    def __init__(self, rates: Rates, secret: bytes, clock: Callable[[], float], *, capacity: int = CAPACITY) -> None:
        self._secret = secret
        self._clock = clock

        def rate(name: str) -> Rate:
            return Rate.parse(getattr(rates, name))

        def keyed(name: str) -> KeyedLimit:
            return KeyedLimit(name, rate(name), capacity=capacity)

        self.classes: dict[CommandClass, KeyedLimit] = {name: keyed(name) for name in get_args(CommandClass)}
        self.address = keyed("address")
        self.failed_auth = keyed("failed_auth")
        self.connects_per_address = keyed("connects_per_address")
        self.connection = Limit("connection", rate("connection"))
        self.refused = Limit("refused", rate("refused"))
        self.connects = Limit("connects", rate("connects"))
        self._arriving = Bucket()

    @property
    def shared(self) -> Iterator[KeyedLimit]:
        """The limits that hold across workers."""
        yield from self.classes.values()
        yield from (self.address, self.failed_auth, self.connects_per_address)

    @property
    def limits(self) -> Iterator[Limit]:
        """All limits."""
        yield from self.shared
        yield from (self.connection, self.refused, self.connects)

    def key(self, kind: Literal["user", "address"], name: str) -> bytes:
        """What stands in the tables for a user or a client's address."""
        text = name.encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=KEY_BYTES, key=self._secret, person=kind.encode()).digest()

    def allowance(self, user: str, client: str = "", connection: Bucket | None = None) -> Allowance:
        """That of ``user``, who asks from the address ``client`` over this connection."""
        return Allowance(self.key("user", user), self.key("address", client) if client else b"", connection)

    # -- commands --

    def refusal(self, allowance: Allowance, declaration: Declaration) -> RateLimited | None:
        """Take what a command costs from all that it counts for; or from none, and say why not."""
        now, cost = self._clock(), declaration.cost
        connection, of_class = allowance.connection, self.classes[declaration.counts_as]
        if connection is not None and (wait := self.connection.take(connection, cost, now)):
            return self._too_much_on(connection, wait, now)
        if wait := of_class.take_for(allowance.user, cost, now):
            if connection is not None:
                self.connection.give_back(connection, cost)
            detail = f"Too many commands of the class `{of_class.name}`"
            return of_class.refusal(detail, of_class.bucket(allowance.user, now), wait, now)
        if allowance.client and (wait := self.address.take_for(allowance.client, 1, now)):
            of_class.give_back_for(allowance.user, cost, now)
            if connection is not None:
                self.connection.give_back(connection, cost)
            return self._too_much_from(self.address, allowance.client, wait, now)
        return None

    def request_refusal(self, client: str) -> RateLimited | None:
        """Take one HTTP request, whatever it asks for, from those of its address; or say why not."""
        return self._take_of_address(self.address, client)

    def insists(self, refusals: Bucket) -> bool:
        """One more was refused on a connection. Whether it goes on and on, and is to be closed."""
        return self.refused.take(refusals, 1, self._clock()) > 0

    def standing(self, allowance: Allowance, declaration: Declaration) -> Standing | None:
        """How a caller stands with the limit on commands like this, if there is one."""
        limit, now = self.classes[declaration.counts_as], self._clock()
        return limit.standing(limit.bucket(allowance.user, now), now) if limit.rate.bounded else None

    # -- tokens --

    def guess_refusal(self, client: str) -> RateLimited | None:
        """Take a token that may not hold, before it is looked at; or say why not.

        Here it counts as failed until it is known to hold, so that nobody gets round this by guessing at once. Other
        workers are told of those alone that did not hold: what they take nobody can give back.
        """
        if not client:
            return None
        key, now = self.key("address", client), self._clock()
        wait = self.failed_auth.take(self.failed_auth.bucket(key, now), 1, now)
        return self._too_much_from(self.failed_auth, key, wait, now) if wait else None

    def auth_refusal(self, connection: Bucket) -> RateLimited | None:
        """Take an ``auth`` from what a connection may have, whatever its token is; or say why not."""
        now = self._clock()
        wait = self.connection.take(connection, AUTH_COST, now)
        return self._too_much_on(connection, wait, now) if wait else None

    def settle_guess(self, client: str, *, failed: bool) -> None:
        """The token that :meth:`guess_refusal` let pass did not hold; or it did, or nobody could tell."""
        if not client:
            return
        key, now = self.key("address", client), self._clock()
        if failed:
            self.failed_auth.keep_for(key, 1, now)
        else:
            self.failed_auth.give_back(self.failed_auth.bucket(key, now), 1)

    # -- connects --

    def has_turn(self) -> bool:
        """Whether this worker takes one more connect now, from whomever."""
        return not self.connects.take(self._arriving, 1, self._clock())

    def connect_refusal(self, client: str) -> RateLimited | None:
        """Take a connect from those of its address; or say why not."""
        return self._take_of_address(self.connects_per_address, client)

    def _take_of_address(self, limit: KeyedLimit, client: str) -> RateLimited | None:
        if not client:
            return None
        key, now = self.key("address", client), self._clock()
        wait = limit.take_for(key, 1, now)
        return self._too_much_from(limit, key, wait, now) if wait else None

    def _too_much_on(self, connection: Bucket, wait: float, now: float) -> RateLimited:
        return self.connection.refusal("Too many commands on this connection", connection, wait, now)

    def _too_much_from(self, limit: KeyedLimit, client: bytes, wait: float, now: float) -> RateLimited:
        return limit.refusal(_OF_ADDRESS[limit.name], limit.bucket(client, now), wait, now)


_OF_ADDRESS: Final = {
    "address": "Too many requests from this address",
    "failed_auth": "Too many tokens from this address did not hold",
    "connects_per_address": "Too many connects from this address",
}
