"""What a worker keeps in the cache, sealed, and what it believes of what it finds there.

A value as it rests in the cache::

    8 bytes   when what it says was so: microseconds since the epoch
    8 bytes   its version, as a keyed digest
    n bytes   the value in MessagePack, sealed

It is sealed like a body, with a key that the installation's own gives for each day, so that no key ever seals more
than it may. Use, name, time and version are bound to it, and its name is a keyed digest: what was moved, altered or
made up does not open, what is of another version is not looked at, and what is older than it may be, or than the last
call of ``forget`` for its name, is not believed. So whoever has the cache in hand can show nothing but what was so a
moment ago, and what a version says is beyond them altogether.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from chatd.errors import ServerError
from chatd.interfaces.cache import ICache
from chatd.records.base import Record
from chatd.security.sealing import AuthorKey, Unreadable
from chatd.state.authors import SERVER, Authors

AHEAD_SECONDS: Final = 2.0
"""How far the clocks of an installation's machines may be apart."""

MOST_FORGOTTEN: Final = 10_000
"""Of how many names it is remembered when they were forgotten; of all others as if it had been with the next one."""

VERSION_BYTES: Final = 8
TIME_BYTES: Final = 8
DAY_SECONDS: Final = 86_400

Value = TypeVar("Value")


class Found(Record, Generic[Value], frozen=True, kw_only=True, gc=False):
    """A value, and how many seconds ago what it says was so."""

    value: Value
    age: float


class Shelf(Generic[Value]):
    """Values of ``kind`` for one ``use``, each believed for ``seconds`` by ``now``, which tells the time of day.

    What was put in another ``epoch`` of the database is of another version. A value of more than ``max_bytes`` is not
    kept. ``refused`` is told of each that is not ours. Nothing here fails: where the cache or the key is not to be had,
    nothing is found.
    """

    def __init__(
        self,
        cache: ICache,
        authors: Authors,
        now: Callable[[], float],
        *,
        use: str,
        kind: Any,
        seconds: float,
        max_bytes: int,
        refused: Callable[[str], None],
        epoch: Callable[[], str],
    ) -> None:
        self._cache = cache
        self._authors = authors
        self.now = now
        self._use = use
        self._decode: Callable[[bytes], Value] = msgspec.msgpack.Decoder(kind).decode
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._refused = refused
        self._epoch = epoch
        self._server: AuthorKey | None = None
        self._keys: dict[int, AuthorKey] = {}
        self._forgotten: OrderedDict[str, float] = OrderedDict()
        self._all_forgotten = 0.0
        self.hits = 0
        self.misses = 0
        self.refusals = 0

    async def get(self, names: Sequence[str], version: str = "") -> dict[str, Found[Value]]:
        """What there is of these names in this version."""
        server = self._server or await self._prepare()
        if server is None:
            return {}
        version = f"{self._epoch()} {version}"
        found: dict[str, Found[Value]] = {}
        kept = await self._cache.get([self._name(server, name) for name in names])
        for name, value in zip(names, kept, strict=True):
            opened = None if value is None else self._open(server, name, version, value)
            if opened is not None:
                found[name] = opened
        self.hits += len(found)
        self.misses += len(names) - len(found)
        return found

    def put(self, values: Mapping[str, Value], as_of: float, version: str = "") -> None:
        """Keep these; what they say was so at ``as_of``, by ``now``: take that before reading it."""
        server = self._server
        if server is None:
            return
        version = f"{self._epoch()} {version}"
        left = self._seconds - (self.now() - as_of)
        for name, value in values.items():
            encoded = msgspec.msgpack.encode(value)
            if left > 0 and len(encoded) <= self._max_bytes and as_of > self._floor(name):
                sealed = self._seal(server, name, version, round(as_of * 1e6), encoded)
                self._cache.put(self._name(server, name), sealed, left)

    def forget(self, names: Sequence[str]) -> None:
        """What was put under these names until now may be old: it is not believed any more."""
        until = self.now() + AHEAD_SECONDS
        for name in names:
            self._forgotten.pop(name, None)
            self._forgotten[name] = until
        while len(self._forgotten) > MOST_FORGOTTEN:
            self._all_forgotten = max(self._all_forgotten, self._forgotten.popitem(last=False)[1])
        if self._server is not None:
            self._cache.forget([self._name(self._server, name) for name in names])

    def _floor(self, name: str) -> float:
        """Since when what is said of ``name`` may be believed."""
        return max(self._forgotten.get(name, 0.0), self._all_forgotten)

    async def _prepare(self) -> AuthorKey | None:
        try:
            self._server = await self._authors.writing(SERVER)
        except (ServerError, Unreadable):
            return None
        return self._server

    def _name(self, server: AuthorKey, name: str) -> str:
        return _digest(server, "name", self._use, name).hex()

    def _version(self, server: AuthorKey, version: str) -> bytes:
        return _digest(server, "version", version)[:VERSION_BYTES]

    def _key(self, server: AuthorKey, day: int) -> AuthorKey:
        key = self._keys.get(day)
        if key is None:
            key = AuthorKey(SERVER, b"".join(_digest(server, "key", self._use, f"{day} {half}") for half in (1, 2)))
            # Of two days at most: what is older is not looked at.
            self._keys = {other: kept for other, kept in self._keys.items() if abs(other - day) == 1} | {day: key}
        return key

    def _seal(self, server: AuthorKey, name: str, version: str, at: int, encoded: bytes) -> bytes:
        key = self._key(server, _day(at))
        sealed = key.seal(encoded, f"{self._use} {name}", f"{at} {version}")
        return at.to_bytes(TIME_BYTES, "big", signed=True) + self._version(server, version) + sealed

    def _open(self, server: AuthorKey, name: str, version: str, kept: bytes) -> Found[Value] | None:
        """None for what is not believed: what is of another time or version, quietly, and what is not ours."""
        at, told = int.from_bytes(kept[:TIME_BYTES], "big", signed=True), kept[TIME_BYTES : TIME_BYTES + VERSION_BYTES]
        age = self.now() - at / 1e6
        if not -AHEAD_SECONDS <= age < self._seconds or at / 1e6 <= self._floor(name):
            return None
        if not hmac.compare_digest(told, self._version(server, version)):
            return None
        try:
            key = self._key(server, _day(at))
            sealed = kept[TIME_BYTES + VERSION_BYTES :]
            value = self._decode(key.unseal(sealed, f"{self._use} {name}", f"{at} {version}"))
        except (Unreadable, msgspec.DecodeError) as error:
            self.refusals += 1
            self._refused(str(error))
            return None
        return Found(value=value, age=max(age, 0.0))


def _digest(server: AuthorKey, *texts: str) -> bytes:
    return server.digest("\0".join(("chatd/cache/1", *texts)).encode())


def _day(at: int) -> int:
    return at // (DAY_SECONDS * 1_000_000)
