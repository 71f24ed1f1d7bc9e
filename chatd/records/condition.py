"""How a worker is, and what it depends on: for load balancers, supervisors and people, without any secret."""

from collections.abc import Callable, Mapping
from typing import Literal

from chatd.records.base import Record

Status = Literal["ready", "degraded", "not ready"]
State = Literal["ok", "degraded", "unavailable"]
Figure = tuple[str, str, Callable[[], float]]
"""A name, what it says, and where its value is had, for metrics."""

_SEVERITY = {"ok": 0, "degraded": 1, "unavailable": 2}


class Dependency(Record, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How something that is needed is. ``detail`` is for a person; ``workers`` are those that see it so, if not all."""

    state: State
    detail: str = ""
    workers: tuple[int, ...] = ()


class Condition(Record, frozen=True, kw_only=True, gc=False):
    """``status`` is "ready", "degraded" where something is done worse or not at all, or "not ready"."""

    status: Status
    dependencies: dict[str, Dependency]


FINE = Dependency(state="ok")


def condition(ready: bool, dependencies: Mapping[str, Dependency | None]) -> Condition:
    """That of who is ``ready`` to carry out commands, or is not, with these dependencies; None is for what none is."""
    needed = {name: one for name, one in dependencies.items() if one is not None}
    return Condition(status=status(ready, needed), dependencies=needed)


def status(ready: bool, dependencies: Mapping[str, Dependency]) -> Status:
    """In one word."""
    if not ready:
        return "not ready"
    return "ready" if all(one.state == "ok" for one in dependencies.values()) else "degraded"


def merged(workers: Mapping[int, Mapping[str, Dependency]]) -> dict[str, Dependency]:
    """What all workers together say about each dependency: the worst, and who says so."""
    names = dict.fromkeys(name for dependencies in workers.values() for name in dependencies)
    return {name: _worst({n: told[name] for n, told in workers.items() if name in told}) for name in names}


def _worst(told: Mapping[int, Dependency]) -> Dependency:
    worst = max(told.values(), key=lambda one: _SEVERITY[one.state])
    seen_by = tuple(number for number, one in told.items() if one.state == worst.state)
    if len(seen_by) == len(told):
        return worst
    return Dependency(state=worst.state, detail=worst.detail, workers=seen_by)
