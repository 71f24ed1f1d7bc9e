"""A command is declared once, beside its behaviour, and everything about it follows from there."""

from typing import Any

from chatd.errors import Conflict, NotFound
from chatd.wire.commands import Command, Done, Route, command, counted_by_route, declarations
from chatd.wire.events import EphemeralEvent


class Wave(Command, frozen=True, kw_only=True, tag="wave"):
    """Some command."""


class Bow(Command, frozen=True, kw_only=True, tag="bow"):
    """Another."""


class Waved(EphemeralEvent, frozen=True, kw_only=True, tag="waved"):
    """An event."""


class Gestures:
    """A handler class."""

    @command(
        Wave,
        reply=Done,
        route=Route("POST", "/v1/wave"),
        errors=[NotFound, Conflict],
        emits=[Waved],
        ordered_by=lambda caller, wave: "all",
        hands_on=True,
        example={"to": "bob"},
    )
    async def wave(self, caller: Any, wave: Wave) -> Done:
        """Wave at somebody.

        They see it,
        if they look.
        """
        return Done()

    async def not_a_command(self) -> None:
        """Not declared."""

    @command(Bow, reply=Done, route=Route("GET", "/v1/bow"), counts_as="search", cost=3)
    async def bow(self, caller: Any, bow: Bow) -> Done:
        return Done()


def test_a_declaration_says_all_that_follows_from_it() -> None:
    wave, bow = declarations(Gestures)
    assert (wave.name, wave.shape, wave.reply, wave.method) == ("wave", Wave, Done, "wave")
    assert (wave.route.method, wave.route.path) == ("POST", "/v1/wave")
    assert (wave.summary, wave.description) == ("Wave at somebody.", "They see it,\nif they look.")
    assert (wave.errors, wave.emits, wave.hands_on, wave.example) == (
        (NotFound, Conflict),
        (Waved,),
        True,
        {"to": "bob"},
    )
    assert wave.ordered_by is not None
    assert wave.ordered_by(None, None) == "all"
    assert (bow.name, bow.summary, bow.description, bow.errors, bow.ordered_by) == ("bow", "", "", (), None)


def test_a_command_counts_as_its_route_would_have_it_unless_it_says_otherwise() -> None:
    wave, bow = declarations(Gestures)
    assert (wave.counts_as, wave.cost, bow.counts_as, bow.cost) == ("write", 1, "search", 3)
    assert counted_by_route(bow.route) == "read"


def test_a_declared_method_stays_what_it_was() -> None:
    assert Gestures.wave.__name__ == "wave"
    assert Gestures.wave.__doc__ is not None
