"""What a client can ask for, and how a handler declares it.

A command is declared once, beside its behaviour, with :func:`command`. The router, the HTTP routes, the published
descriptions and the metric labels all follow from these declarations.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from chatd.errors import ChatdError
from chatd.wire.events import Event
from chatd.wire.types import RequestId


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="command"):
    """Base of all commands. Over HTTP neither ``id`` nor ``type`` is given: the route says both."""

    id: RequestId


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="ok"):
    """Base of all replies: ``{"id": ..., "type": "ok", ...}``."""


class Done(Reply, frozen=True, kw_only=True):
    """The command was carried out; there is nothing else to say."""


@dataclass(frozen=True)
class Route:
    """How a command is asked for over HTTP; ``{name}`` in the path is a field of the command.

    The other fields of a GET stand in the query, those of a POST in a JSON body.
    """

    method: Literal["GET", "POST"]
    path: str


OrderKey = Callable[[Any, Any], str]
"""``(caller, command)`` -> what its order is kept in, usually a conversation."""

CommandClass = Literal["read", "write", "passing", "search"]
"""What is limited together: each has its own rate in ``[rates]``."""

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """One command: its shape, its way in, and what may come of it.

    With ``ordered_by``, of the commands of one connection and one key each starts when the one before it has ended.
    With ``hands_on`` the method ends earlier, when its change has been handed on, and returns an awaitable of the
    reply: then nothing waits for a commit in order to start. It takes ``cost`` of what its class may take.
    """

    shape: type[Command]
    reply: type[Reply]
    route: Route
    name: str
    summary: str
    description: str
    method: str
    errors: tuple[type[ChatdError], ...] = ()
    emits: tuple[type[Event], ...] = ()
    ordered_by: OrderKey | None = None
    hands_on: bool = False
    counts_as: CommandClass = "write"
    cost: int = 1
    example: dict[str, Any] | None = None


class Declared:
    """What :func:`command` leaves on a method."""

    attribute: ClassVar[str] = "__chatd_command__"


def counted_by_route(route: Route) -> CommandClass:
    """What a command counts as that says nothing about it."""
    return "read" if route.method == "GET" else "write"


def command(
    shape: type[Command],
    *,
    reply: type[Reply],
    route: Route,
    errors: Iterable[type[ChatdError]] = (),
    emits: Iterable[type[Event]] = (),
    ordered_by: OrderKey | None = None,
    hands_on: bool = False,
    counts_as: CommandClass | None = None,
    cost: int = 1,
    example: dict[str, Any] | None = None,
) -> Callable[[Handler], Handler]:
    """Declare that the method below carries out ``shape``. Its docstring becomes the published description.

    It counts as its route would have it unless ``counts_as`` says otherwise.
    """

    def declare(method: Handler) -> Handler:
        summary, _, rest = (method.__doc__ or "").strip().partition("\n")
        declaration = Declaration(
            shape=shape,
            reply=reply,
            route=route,
            name=str(shape.__struct_config__.tag),
            summary=summary.strip(),
            description="\n".join(line.strip() for line in rest.strip().splitlines()),
            method=method.__name__,
            errors=tuple(errors),
            emits=tuple(emits),
            ordered_by=ordered_by,
            hands_on=hands_on,
            counts_as=counts_as or counted_by_route(route),
            cost=cost,
            example=example,
        )
        setattr(method, Declared.attribute, declaration)
        return method

    return declare


def declarations(handler: type) -> list[Declaration]:
    """The commands that a handler class declares, in the order of its source."""
    found = (getattr(member, Declared.attribute, None) for member in vars(handler).values())
    return [declaration for declaration in found if isinstance(declaration, Declaration)]
