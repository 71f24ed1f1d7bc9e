"""The way of a command to its handler: in turn, and with one kind of failure only."""

import sys
from collections.abc import Awaitable
from types import FrameType

import msgspec
import pytest
from twisted.internet.defer import Deferred, succeed

from chatd.errors import Internal, NotFound, RateLimited
from chatd.router import Router, command_union
from chatd.security.sealing import Unreadable
from chatd.wire.commands import Command, Declaration, Done, Reply, Route, command
from chatd.wire.session import Auth
from tests.kit.at_once import Watch
from tests.kit.world import Asker, Chat

DEPTH_OF_A_COMMAND = 40
"""Frames that one command may take, on top of those of whoever let it run."""


class Number(Command, frozen=True, kw_only=True, tag="number"):
    """Waits for its turn in ``key``, then for the test, unless it is ``quick``."""

    key: str = "a"
    quick: bool = False


class Post(Command, frozen=True, kw_only=True, tag="post"):
    """Is handed on in turn, and answered when it is committed."""

    key: str = "a"


class Break(Command, frozen=True, kw_only=True, tag="break"):
    """Fails with ``error``."""


class BreakInTurn(Command, frozen=True, kw_only=True, tag="break.in.turn"):
    """Fails with ``error`` in its turn."""


class Counted(Reply, frozen=True, kw_only=True):
    """Which one it was."""

    id: int


class Subject:
    """Commands that a test sees start, and lets end."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.depths: list[int] = []
        self.turns: dict[int, Deferred[None]] = {}
        self.commits: dict[int, Deferred[None]] = {}
        self.error: Exception = NotFound("Nothing here.")

    @command(Number, reply=Counted, route=Route("GET", "/number"), ordered_by=lambda caller, ask: str(ask.key))
    async def number(self, caller: Asker, ask: Number) -> Counted:
        """Count."""
        self.started.append(ask.id)
        self.depths.append(depth())
        if not ask.quick:
            await self.turns.setdefault(ask.id, Deferred())
        return Counted(id=ask.id)

    @command(Post, reply=Counted, route=Route("POST", "/post"), ordered_by=lambda caller, ask: ask.key, hands_on=True)
    async def post(self, caller: Asker, ask: Post) -> Awaitable[Counted]:
        """Hand on."""
        self.started.append(ask.id)
        return self._committed(ask.id)

    async def _committed(self, id: int) -> Counted:
        await self.commits.setdefault(id, Deferred())
        return Counted(id=id)

    @command(Break, reply=Done, route=Route("GET", "/break"))
    async def fail(self, caller: Asker, ask: Break) -> Done:
        """Break."""
        raise self.error

    @command(BreakInTurn, reply=Done, route=Route("GET", "/turn"), ordered_by=lambda caller, ask: "a")
    async def fail_in_turn(self, caller: Asker, ask: BreakInTurn) -> Done:
        """Break."""
        raise self.error


def depth() -> int:
    """How many frames there are on the stack."""
    frame: FrameType | None = sys._getframe()
    count = 0
    while frame is not None:
        count, frame = count + 1, frame.f_back
    return count


class Routed:
    """A caller, the router and the subject that it leads to."""

    def __init__(self) -> None:
        self.subject = Subject()
        self.failed: list[tuple[str, BaseException, object]] = []
        self.observed: list[tuple[str, str, float]] = []
        self.time = 0.0
        self.router = Router(
            [self.subject],
            lambda name, error, caller: self.failed.append((name, error, caller)),
            observe=lambda *seen: self.observed.append(seen),
            clock=lambda: self.time,
        )
        self.caller = Asker(Chat(), "alice", "phone")

    def run(self, ask: Command) -> Watch:
        return Watch(self.router.dispatch(self.caller, ask))


@pytest.fixture
def routed() -> Routed:
    return Routed()


# -- turns --


@pytest.mark.parametrize("quick", [True, False])
def test_a_thousand_commands_that_wait_for_one_run_in_their_order_and_not_inside_each_other(
    routed: Routed, quick: bool
) -> None:
    subject = routed.subject
    first = routed.run(Number(id=0))
    waiting = [routed.run(Number(id=number, quick=quick)) for number in range(1, 1001)]
    assert subject.started == [0]
    assert not any(watch.ended for watch in waiting)
    subject.turns.update({number: succeed(None) for number in range(1, 1001)})
    here = depth()
    subject.turns[0].callback(None)
    assert subject.started == list(range(1001))
    assert [watch.result.id for watch in [first, *waiting]] == list(range(1001))
    assert max(subject.depths) < here + DEPTH_OF_A_COMMAND


def test_a_slow_command_holds_up_only_its_own_key(routed: Routed) -> None:
    slow, behind = routed.run(Number(id=1)), routed.run(Number(id=2))
    others = [routed.run(Number(id=3, key="b", quick=True)), routed.run(Break(id=4))]
    assert ([watch.ended for watch in others], slow.ended, behind.ended) == ([True, True], False, False)
    assert routed.subject.started == [1, 3]


def test_callers_do_not_wait_for_each_other(routed: Routed) -> None:
    routed.run(Number(id=1))
    other = Asker(routed.caller.chat, "alice", "phone")
    assert Watch(routed.router.dispatch(other, Number(id=2, quick=True))).ended


def test_each_starts_when_the_one_before_it_has_ended_well_or_not(routed: Routed) -> None:
    asks = [Number(id=1), BreakInTurn(id=2), Number(id=3), Number(id=4, quick=True)]
    watches = [routed.run(ask) for ask in asks]
    routed.subject.turns[1].callback(None)
    assert [watch.ended for watch in watches] == [True, True, False, False]
    routed.subject.turns[3].errback(NotFound())
    assert [type(watch.error) for watch in watches] == [type(None), NotFound, NotFound, type(None)]


def test_what_hands_on_lets_the_next_one_start_before_its_commit(routed: Routed) -> None:
    posts = [routed.run(Post(id=number)) for number in (1, 2, 3)]
    last = routed.run(Number(id=4, quick=True))
    assert routed.subject.started == [1, 2, 3, 4]
    assert ([post.ended for post in posts], last.ended) == ([False] * 3, True)
    routed.subject.commits[2].callback(None)
    assert [post.ended for post in posts] == [False, True, False]
    assert posts[1].result.id == 2


def test_a_commit_that_fails_fails_its_command_alone(routed: Routed) -> None:
    posts = [routed.run(Post(id=number)) for number in (1, 2)]
    routed.subject.commits[1].errback(NotFound())
    routed.subject.commits[2].callback(None)
    assert (type(posts[0].error), posts[1].result.id) == (NotFound, 2)


def test_lanes_are_forgotten_when_they_are_empty(routed: Routed) -> None:
    for number in range(10):
        routed.run(Number(id=number, key=f"{number}", quick=True))
    routed.run(BreakInTurn(id=11))
    assert routed.caller.lanes._lanes == {}


# -- failures --


@pytest.mark.parametrize("ask", [Break(id=1), BreakInTurn(id=1)])
def test_a_coded_error_is_the_answer_as_it_is(routed: Routed, ask: Command) -> None:
    assert routed.run(ask).error is routed.subject.error
    assert routed.failed == []


@pytest.mark.parametrize("ask", [Break(id=1), BreakInTurn(id=1)])
def test_anything_unforeseen_is_internal_and_is_told_with_the_name_of_the_command(routed: Routed, ask: Command) -> None:
    routed.subject.error = ZeroDivisionError("a secret")
    error = routed.run(ask).error
    assert isinstance(error, Internal)
    assert error.detail == Internal.meaning
    assert routed.failed == [(str(type(ask).__struct_config__.tag), routed.subject.error, routed.caller)]


def test_so_is_what_happens_between_the_turn_and_the_commit(routed: Routed) -> None:
    post = routed.run(Post(id=1))
    routed.subject.commits[1].errback(cause := KeyError("unforeseen"))
    assert isinstance(post.error, Internal)
    assert routed.failed == [("post", cause, routed.caller)]


def test_a_data_key_that_cannot_be_opened_is_internal_with_a_detail_of_its_own(routed: Routed) -> None:
    routed.subject.error = Unreadable("another master key")
    error = routed.run(Break(id=1)).error
    assert isinstance(error, Internal)
    assert error.detail == "The data key of this person cannot be opened."
    assert routed.failed == [("break", routed.subject.error, routed.caller)]


# -- what is told of each command --


def test_each_answered_command_is_told_with_its_outcome_and_how_long_it_took(routed: Routed) -> None:
    routed.run(Number(id=1))
    routed.run(Break(id=2))
    routed.subject.error = ZeroDivisionError()
    routed.run(Break(id=3))
    routed.time = 2.5
    routed.subject.turns[1].callback(None)
    assert routed.observed == [("break", "not_found", 0.0), ("break", "internal", 0.0), ("number", "ok", 2.5)]


def test_nobody_has_to_be_told(routed: Routed) -> None:
    router = Router([routed.subject], lambda name, error, caller: None)
    assert Watch(router.dispatch(routed.caller, Number(id=1, quick=True))).result == Counted(id=1)


def test_what_is_too_much_is_refused_before_anything_is_done_about_it(routed: Routed) -> None:
    asked: list[tuple[object, str]] = []

    def limit(allowance: object, declaration: Declaration) -> RateLimited | None:
        asked.append((allowance, declaration.name))
        return RateLimited(retry_after_ms=5) if len(asked) > 1 else None

    caller = routed.caller
    caller.allowance = "what alice may have"
    observe = lambda *seen: routed.observed.append(seen)  # noqa: E731
    router = Router([routed.subject], lambda name, error: None, observe=observe, limit=limit)
    assert Watch(router.dispatch(caller, Number(id=1, quick=True))).result == Counted(id=1)
    refused = Watch(router.dispatch(caller, Number(id=2, quick=True)))
    assert isinstance(refused.error, RateLimited)
    assert routed.subject.started == [1]
    assert asked == [("what alice may have", "number")] * 2
    assert [seen[:2] for seen in routed.observed] == [("number", "ok"), ("number", "rate_limited")]


# -- what there is --


def test_the_router_knows_the_commands_of_all_its_handlers(routed: Routed) -> None:
    assert [declaration.name for declaration in routed.router.declarations] == [
        "number",
        "post",
        "break",
        "break.in.turn",
    ]


def test_a_message_may_be_any_command_or_auth_and_nothing_else(routed: Routed) -> None:
    decode = msgspec.json.Decoder(command_union(routed.router.declarations)).decode
    assert decode(b'{"id":1,"type":"post","key":"b"}') == Post(id=1, key="b")
    assert decode(b'{"id":1,"type":"auth","token":"t"}') == Auth(id=1, token="t")
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"id":1,"type":"message.send","text":"a"}')
