"""The session's table: every state, every kind of message."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from chatd.errors import ChatdError, CloseCode, Invalid, Unauthorized, Unavailable
from chatd.records.tokens import Claims
from chatd.wire.codec import JsonCodec
from chatd.wire.commands import Command
from chatd.wire.session import DEFAULT_DEVICE, MAX_WAITING, Auth, Session, State


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    """Some command."""


CODEC = JsonCodec(Ping | Auth)
ALICE = Claims(user="alice", issuer="auth", expires_at=1000.0)
ALICE_LATER = Claims(user="alice", issuer="auth", expires_at=2000.0)
BOB = Claims(user="bob", issuer="auth", expires_at=1000.0)

PING = b'{"id":1,"type":"ping"}'
AUTH = b'{"id":2,"type":"auth","token":"t","device":"phone"}'
UNKNOWN = b'{"id":3,"type":"dance"}'
GARBAGE = b"\xff"


@dataclass
class Connection:
    """What a session has asked of its connection, in order."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    close_on_run: bool = False

    def __post_init__(self) -> None:
        self.session = Session(CODEC, self)

    def verify(self, auth: Auth) -> None:
        self.asked.append(("verify", auth.token))

    def run(self, command: Any) -> None:
        self.asked.append(("run", command.id))
        if self.close_on_run:
            self.session.close(CloseCode.SLOW_READER, "")

    def opened(self, claims: Claims, device: str) -> None:
        self.asked.append(("opened", claims.user, device, claims.expires_at))

    def refuse(self, id: int | None, error: ChatdError) -> None:
        self.asked.append(("refuse", id, error.code))

    def close(self, code: CloseCode, reason: str) -> None:
        assert len(reason.encode()) <= 123, "RFC 6455, section 5.5: what fits into a control frame"
        self.asked.append(("close", code))

    def receive(self, *payloads: bytes) -> list[tuple[Any, ...]]:
        """Messages arrive; what was asked because of them."""
        self.asked.clear()
        for payload in payloads:
            self.session.received(payload, False)
        return list(self.asked)


def in_state(state: State) -> Connection:
    """A connection whose session stands there, and that was asked nothing since."""
    connection = Connection()
    if state in (State.VERIFYING, State.OPEN, State.RENEWING):
        connection.receive(AUTH)
    if state in (State.OPEN, State.RENEWING):
        connection.session.verified(ALICE)
    if state is State.RENEWING:
        connection.receive(AUTH)
    if state is State.CLOSED:
        connection.session.closed()
    assert connection.session.state is state
    connection.asked.clear()
    return connection


UNAUTHENTICATED = ("close", CloseCode.UNAUTHENTICATED)

TABLE: list[tuple[State, bytes, list[tuple[Any, ...]], State]] = [
    (State.AUTHENTICATING, AUTH, [("verify", "t")], State.VERIFYING),
    (State.AUTHENTICATING, PING, [("refuse", 1, "unauthorized"), UNAUTHENTICATED], State.CLOSED),
    (State.AUTHENTICATING, UNKNOWN, [("refuse", 3, "invalid"), UNAUTHENTICATED], State.CLOSED),
    (State.AUTHENTICATING, GARBAGE, [("refuse", None, "malformed"), UNAUTHENTICATED], State.CLOSED),
    (State.VERIFYING, AUTH, [("refuse", 2, "invalid")], State.VERIFYING),
    (State.VERIFYING, PING, [], State.VERIFYING),
    (State.VERIFYING, UNKNOWN, [("refuse", 3, "invalid"), UNAUTHENTICATED], State.CLOSED),
    (State.VERIFYING, GARBAGE, [("refuse", None, "malformed"), UNAUTHENTICATED], State.CLOSED),
    (State.OPEN, AUTH, [("verify", "t")], State.RENEWING),
    (State.OPEN, PING, [("run", 1)], State.OPEN),
    (State.OPEN, UNKNOWN, [("refuse", 3, "invalid")], State.OPEN),
    (State.OPEN, GARBAGE, [("refuse", None, "malformed")], State.OPEN),
    (State.RENEWING, AUTH, [("refuse", 2, "invalid")], State.RENEWING),
    (State.RENEWING, PING, [("run", 1)], State.RENEWING),
    (State.RENEWING, UNKNOWN, [("refuse", 3, "invalid")], State.RENEWING),
    (State.RENEWING, GARBAGE, [("refuse", None, "malformed")], State.RENEWING),
    *((State.CLOSED, payload, [], State.CLOSED) for payload in (AUTH, PING, UNKNOWN, GARBAGE)),
]


@pytest.mark.parametrize(("state", "payload", "asked", "then"), TABLE)
def test_what_may_come_when(state: State, payload: bytes, asked: list[tuple[Any, ...]], then: State) -> None:
    connection = in_state(state)
    assert connection.receive(payload) == asked
    assert connection.session.state is then


@pytest.mark.parametrize("state", State)
def test_a_frame_of_the_other_kind_closes(state: State) -> None:
    connection = in_state(state)
    connection.session.received(AUTH, True)
    assert connection.asked == ([] if state is State.CLOSED else [("close", CloseCode.UNSUPPORTED_DATA)])
    assert connection.session.state is State.CLOSED


@pytest.mark.parametrize("state", [State.AUTHENTICATING, State.OPEN, State.CLOSED])
def test_a_verdict_that_nobody_waits_for_changes_nothing(state: State) -> None:
    connection = in_state(state)
    assert not connection.session.verified(BOB)
    connection.session.refused(Unauthorized())
    connection.session.failed(Unavailable())
    assert connection.asked == []
    assert connection.session.state is state


@pytest.mark.parametrize("state", [State.VERIFYING, State.RENEWING])
def test_a_verdict_that_comes_after_the_end_changes_nothing(state: State) -> None:
    connection = in_state(state)
    connection.session.closed()
    assert not connection.session.verified(ALICE)
    connection.session.refused(Unauthorized())
    connection.session.failed(Unavailable())
    assert connection.asked == []


def test_a_token_in_the_handshake_opens_at_once() -> None:
    connection = Connection()
    connection.session.admitted(ALICE, "phone")
    assert connection.asked == [("opened", "alice", "phone", 1000.0)]
    assert connection.session.state is State.OPEN
    assert connection.session.claims is ALICE
    assert connection.receive(PING) == [("run", 1)]


def test_a_token_in_a_first_message_opens_when_it_holds() -> None:
    connection = Connection()
    assert connection.session.claims is None
    connection.receive(AUTH)
    assert connection.session.verified(ALICE)
    assert connection.asked[1:] == [("opened", "alice", "phone", 1000.0)]
    assert connection.session.claims is ALICE


def test_a_device_that_is_not_named_is_the_default() -> None:
    connection = Connection()
    connection.receive(b'{"id":2,"type":"auth","token":"t"}')
    connection.session.verified(ALICE)
    assert connection.asked[-1] == ("opened", "alice", DEFAULT_DEVICE, 1000.0)


def test_commands_pipelined_behind_auth_run_in_order_once_it_holds() -> None:
    connection = Connection()
    pings = [msgspec.json.encode({"id": n, "type": "ping"}) for n in range(MAX_WAITING)]
    assert connection.receive(AUTH, *pings) == [("verify", "t")]
    connection.session.verified(ALICE)
    assert connection.asked[1:] == [("opened", "alice", "phone", 1000.0), *(("run", n) for n in range(MAX_WAITING))]
    assert connection.receive(PING) == [("run", 1)]


def test_only_so_many_may_be_pipelined() -> None:
    connection = Connection()
    connection.receive(AUTH, *[PING] * MAX_WAITING)
    assert connection.receive(PING) == [("close", CloseCode.POLICY_VIOLATION)]


@pytest.mark.parametrize("refuse", [True, False])
def test_what_was_pipelined_behind_an_auth_that_fails_is_not_run(refuse: bool) -> None:
    connection = Connection()
    connection.receive(AUTH, PING)
    connection.asked.clear()
    if refuse:
        connection.session.refused(Unauthorized())
        assert connection.asked == [("refuse", 2, "unauthorized"), UNAUTHENTICATED]
    else:
        connection.session.failed(Unavailable())
        assert connection.asked == [("refuse", 2, "unavailable"), ("close", CloseCode.TRY_AGAIN_LATER)]
    assert connection.receive(PING) == []


def test_what_was_pipelined_is_not_run_on_after_the_connection_closed_in_the_middle() -> None:
    connection = Connection(close_on_run=True)
    connection.receive(AUTH, PING, PING, PING)
    connection.session.verified(ALICE)
    assert connection.asked[2:] == [("run", 1), ("close", CloseCode.SLOW_READER)]
    assert connection.session.state is State.CLOSED


def test_a_fresh_token_renews() -> None:
    connection = in_state(State.RENEWING)
    assert connection.session.claims is ALICE
    assert connection.session.verified(ALICE_LATER)
    assert connection.asked == [("opened", "alice", "phone", 2000.0)]
    assert connection.session.claims is ALICE_LATER
    assert connection.session.state is State.OPEN


def test_somebody_elses_token_does_not_take_a_connection_over() -> None:
    """The ``auth`` gets one answer, and that is an error."""
    connection = in_state(State.RENEWING)
    assert not connection.session.verified(BOB)
    assert connection.asked == [("refuse", 2, "invalid")]
    assert connection.session.claims is ALICE
    assert connection.session.state is State.OPEN


def test_a_connection_keeps_its_device() -> None:
    connection = Connection()
    connection.session.admitted(ALICE, "tablet")
    connection.receive(AUTH)
    assert not connection.session.verified(ALICE_LATER)
    assert connection.asked[-1] == ("refuse", 2, "invalid")
    assert connection.session.claims is ALICE


@pytest.mark.parametrize("refuse", [True, False])
def test_an_open_connection_outlives_a_renewal_that_fails(refuse: bool) -> None:
    connection = in_state(State.RENEWING)
    if refuse:
        connection.session.refused(Unauthorized())
    else:
        connection.session.failed(Unavailable())
    assert connection.asked == [("refuse", 2, "unauthorized" if refuse else "unavailable")]
    assert connection.session.state is State.OPEN
    assert connection.session.claims is ALICE
    assert connection.receive(AUTH) == [("verify", "t")]


def test_a_connection_is_closed_once() -> None:
    connection = in_state(State.OPEN)
    connection.session.close(CloseCode.TOKEN_EXPIRED, "expired")
    connection.session.close(CloseCode.SLOW_READER, "slow")
    connection.session.closed()
    assert connection.asked == [("close", CloseCode.TOKEN_EXPIRED)]


def test_a_refusal_says_what_was_wrong_and_repeats_no_token() -> None:
    class Loud(Connection):
        def refuse(self, id: int | None, error: ChatdError) -> None:
            self.asked.append((type(error), error.detail))

    connection = Loud()
    connection.receive(b'{"id":2,"type":"auth","token":["hunter2"]}')
    assert connection.asked[0] == (Invalid, "Expected `str`, got `array` - at `token`")
