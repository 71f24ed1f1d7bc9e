"""How the auth services are, as far as this worker has lately had to do with them, and what is asked of them."""

from chatd.auth.identity import Identity
from chatd.records.condition import FINE, Dependency, Figure
from chatd.security.breaker import State


def auth_services(identity: Identity) -> Dependency | None:
    """All of them together; None where nothing is asked of any. No detail names one: that is for the log.

    Without keys nobody can be let in whose tokens they are for. That makes no worker unready: those who are connected
    are served, and any other worker would do no better.
    """
    sources, introspections = identity.sources.values(), identity.introspections.values()
    if not sources and not introspections:
        return None
    keyless = sum(not one.known for one in sources)
    stale = sum(one.failing for one in sources)
    silent = sum(one.breaker.state is not State.CLOSED for one in introspections)
    if keyless:
        return Dependency(state="unavailable", detail=f"the keys of {keyless} of {len(sources)} issuers are not known")
    if stale:
        detail = f"the keys of {stale} of {len(sources)} issuers cannot be fetched; those known go on to count"
        return Dependency(state="degraded", detail=detail)
    if silent:
        detail = f"{silent} of {len(introspections)} issuers do not answer questions about tokens"
        return Dependency(state="degraded", detail=detail)
    return FINE


def auth_figures(identity: Identity) -> tuple[Figure, ...]:
    """What is asked of auth services, all of them together."""
    sources, introspections = identity.sources.values(), identity.introspections.values()
    return (
        ("key_fetches", "Key sets asked for.", lambda: sum(one.fetches for one in sources)),
        ("key_fetch_failures", "Key sets not had.", lambda: sum(one.failures for one in sources)),
        ("introspections", "Questions about tokens.", lambda: sum(one.questions for one in introspections)),
        ("introspection_failures", "Those in vain.", lambda: sum(one.failures for one in introspections)),
        (
            "introspection_breakers_open",
            "Auth services that are not asked since they failed.",
            lambda: sum(one.breaker.state is not State.CLOSED for one in introspections),
        ),
    )
