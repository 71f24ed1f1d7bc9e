"""The product's back end acts for others over HTTP, if its token says that it may."""

import pytest
from twisted.internet.defer import succeed

from chatd.records.tokens import Claims
from chatd.security.scopes import ACT, REVOKE
from tests.kit.visitor import World


class Service:
    """Takes any token for the back end's."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = frozenset(scopes)

    def verify(self, token, device):
        return succeed(Claims(user="back-end", issuer="https://a", expires_at=1e12, token_id="t1", scopes=self.scopes))


def world(*scopes: str) -> World:
    return World(verifier=Service(*scopes))


def ask(world, user):
    return world.ask("POST", "/v1/sync", {}, Chatd_On_Behalf_Of=user)


def test_the_command_is_the_other_persons_and_brings_none_of_the_rights_along():
    acting = world(ACT, REVOKE)
    assert ask(acting, "alice").status == 200
    [caller] = acting.router.callers
    assert (caller.user, caller.token_id, caller.scopes) == ("alice", None, frozenset())


def test_names_are_utf_8():
    acting = world(ACT)
    assert ask(acting, "zoë".encode().decode("latin-1")).status == 200
    assert acting.router.callers[0].user == "zoë"


def test_without_the_header_the_service_speaks_for_itself():
    acting = world(ACT)
    assert acting.ask("POST", "/v1/sync", {}).status == 200
    assert acting.router.callers[0].user == "back-end"


@pytest.mark.parametrize("scopes", [(), (REVOKE,)])
def test_it_takes_the_scope(scopes):
    acting = world(*scopes)
    answer = ask(acting, "alice")
    assert (answer.status, answer.code) == (403, "forbidden")
    assert "chatd:act" in answer.problem["detail"]
    assert acting.router.callers == []


@pytest.mark.parametrize("user", [" ", "x" * 256, "\xff", "a\x1b[2J"])
def test_what_names_nobody_is_refused(user):
    acting = world(ACT)
    assert ask(acting, user).code == "invalid"
    assert acting.router.callers == []
