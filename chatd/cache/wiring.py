"""Whether there is a cache, which one, and what is read by way of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from twisted.logger import Logger

from chatd.cache.memory import MemoryCache
from chatd.handlers.assembly import Stores
from chatd.handlers.profiles import KEPT_SECONDS, ProfilesChanged
from chatd.interfaces.cache import ICache
from chatd.interfaces.watches import Watch
from chatd.records.condition import FINE, Dependency, Figure
from chatd.records.logs import Entry
from chatd.records.recent import Recent
from chatd.redis.address import configured
from chatd.settings.base import SettingsError
from chatd.settings.issuers import IntrospectionSettings
from chatd.settings.model import Settings
from chatd.state.authors import Authors
from chatd.state.exchange import Exchange
from chatd.state.kept_profiles import KeptProfiles
from chatd.state.recent import RecentPages
from chatd.state.shared_verdicts import SharedVerdicts, Vouched
from chatd.state.shelf import Shelf

log = Logger()

SMALL_BYTES: Final = 8_192
"""The most that a profile or a verdict takes."""

AWAY: Final = Dependency(state="degraded", detail="all is read from the database")


@dataclass(frozen=True)
class Caching:
    """``stores`` read by way of the cache what can be. ``watches`` belong to it, ``figures`` tell of it.

    ``listen`` has it hear of changes; ``shared`` is what workers share of an auth service's verdicts; ``condition`` is
    how a cache elsewhere is, None where there is none.
    """

    stores: Stores
    listen: Callable[[Exchange], None] = lambda exchange: None
    shared: Callable[[IntrospectionSettings, str], SharedVerdicts | None] = lambda introspection, context: None
    watches: Sequence[Watch] = ()
    figures: Sequence[Figure] = ()
    condition: Callable[[], Dependency | None] = lambda: None


def build_caching(
    settings: Settings,
    reactor: Any,
    stores: Stores,
    authors: Authors,
    now: Callable[[], float],
    epoch: Callable[[], str],
) -> Caching:
    """That of the settings' choice; ``now`` gives seconds since 1970, ``epoch`` is the database's.

    Raises SettingsError.
    """
    kind = settings.cache.kind
    if kind == "off":
        return Caching(stores)
    if kind == "memory":
        memory = MemoryCache(reactor.seconds, settings.cache.memory_bytes)
        figure = "cache_bytes", "What the cache in memory takes.", lambda: float(memory.bytes)
        return _over(memory, settings, stores, authors, now, epoch, (), (figure,))
    redis = _redis(settings, reactor)
    figures: tuple[Figure, ...] = (
        ("cache_linked", "Whether the cache has a connection to Redis.", lambda: redis.connected),
        ("cache_failures", "What Redis did not answer in time, or with nonsense.", lambda: redis.failures),
    )
    over = _over(redis, settings, stores, authors, now, epoch, (redis,), figures)
    return replace(over, condition=lambda: FINE if redis.connected else AWAY)


def _redis(settings: Settings, reactor: Any) -> Any:
    try:
        # Here and not above: chatd without Redis needs nothing of it.
        from chatd.cache.redis import RedisCache
    except ImportError as error:
        raise SettingsError("cache.kind", "redis", "needs what chatd[redis] installs") from error
    address, way = configured(settings.redis, reactor)
    return RedisCache(reactor, way, address, prefix=settings.redis.prefix, timeout=settings.cache.timeout)


def _over(
    cache: ICache,
    settings: Settings,
    stores: Stores,
    authors: Authors,
    now: Callable[[], float],
    epoch: Callable[[], str],
    watches: Sequence[Watch],
    figures: Sequence[Figure],
) -> Caching:
    shelves: dict[str, list[Shelf[Any]]] = {}

    def shelf(use: str, kind: Any, seconds: float, max_bytes: int) -> Shelf[Any]:
        made: Shelf[Any] = Shelf(
            cache,
            authors,
            now,
            use=use,
            kind=kind,
            seconds=seconds,
            max_bytes=max_bytes,
            refused=_Refusals(use).note,
            epoch=epoch,
        )
        shelves.setdefault(use, []).append(made)
        return made

    def shared(introspection: IntrospectionSettings, context: str) -> SharedVerdicts:
        return SharedVerdicts(shelf("verdicts", Vouched, introspection.every_seconds, SMALL_BYTES), context)

    messages = shelf("messages", Recent, settings.cache.seconds, settings.cache.page_bytes)
    profiles = KeptProfiles(stores.profiles, shelf("profiles", Entry | None, KEPT_SECONDS, SMALL_BYTES))
    return Caching(
        stores=replace(stores, reactions=RecentPages(stores.reactions, stores.recent, messages), profiles=profiles),
        listen=lambda exchange: exchange.listen(ProfilesChanged, lambda changed: profiles.forget(changed.users)),
        shared=shared,
        watches=watches,
        figures=(*figures, *_figures(shelves)),
    )


class _Refusals:
    """Logs the 1st, 2nd, 4th, 8th value that is not ours."""

    def __init__(self, use: str) -> None:
        self._use = use
        self._seen = 0

    def note(self, reason: str) -> None:
        self._seen += 1
        if self._seen & (self._seen - 1) == 0:
            log.warn(
                "somebody else writes to the cache of {use}: {reason}", use=self._use, reason=reason, refused=self._seen
            )


def _figures(shelves: dict[str, list[Shelf[Any]]]) -> Sequence[Figure]:
    """Made when all uses are known but for verdicts, of which every issuer has a shelf."""

    def total(use: str, what: str) -> Callable[[], float]:
        return lambda: sum(getattr(one, what) for one in shelves.get(use, ()))

    return [
        (f"cache_{use}_{what}", f"{use.capitalize()}: {help}", total(use, what))
        for use in ("messages", "profiles", "verdicts")
        for what, help in (
            ("hits", "found in the cache."),
            ("misses", "not found there, or too old."),
            ("refusals", "what was there but not ours."),
        )
    ]
