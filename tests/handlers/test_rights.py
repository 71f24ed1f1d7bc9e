"""Who may do what: the table, row by row, as those meet it who try."""

from typing import Any

import pytest

from chatd.errors import ChatdError, Forbidden, NotFound
from chatd.handlers.rights import RIGHTS, Action, allows, least_role
from chatd.records.rosters import Role, Rules
from chatd.state.ids import direct
from tests.kit.groups import act, found, promoted
from tests.kit.world import Asker, Chat

UNTIL = "2030-01-01T12:00:00Z"

ASKING: dict[Action, tuple[str, dict[str, Any]]] = {
    Action.POST: ("message.send", {"text": "x"}),
    Action.ANNOUNCE: ("announcement.post", {"text": "x"}),
    Action.PIN: ("message.pin", {"seq": 4}),
    Action.MODERATE: ("message.delete", {"seq": 4}),
    Action.INVITE: ("member.add", {"users": ["new"]}),
    Action.ADMIT: ("join.deny", {"user": "dave"}),
    Action.REMOVE: ("member.remove", {"user": "target"}),
    Action.BAN: ("member.ban", {"user": "target"}),
    Action.MUTE: ("member.mute", {"user": "target", "until": UNTIL}),
    Action.EDIT: ("group.update", {"title": "Band"}),
    Action.RULE: ("group.update", {"rules": {"history": "all"}}),
    Action.ASSIGN: ("member.role", {"user": "target", "role": "admin"}),
    Action.TRANSFER: ("group.transfer", {"user": "target"}),
    Action.DELETE: ("group.delete", {}),
}


def test_every_action_is_in_the_table_and_tried_here() -> None:
    assert set(Action) == RIGHTS.keys() == ASKING.keys()


@pytest.mark.parametrize("role", ["member", "admin", "owner"])
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("least", ["member", "admin", "owner"])
def test_each_role_may_do_what_the_table_says(action: Action, role: Role, least: Role) -> None:
    """Whatever role the group's own rules name."""
    if RIGHTS[action] not in ("posting", "inviting", "editing") and least != "member":
        return
    rules = {"posting": "member", "inviting": "admin", "editing": "admin"}
    if RIGHTS[action] in rules:
        rules[RIGHTS[action]] = least
    chat = Chat()
    alice, them = chat.http("alice"), chat.http("them")
    group = found(alice, "them", "target", rules={"joining": "request"})
    act(chat.http("dave"), "join.request", group)
    alice.send("x", conversation=group)
    if role != "member":
        promoted(alice, group, "them", role)
    alice.send("x", conversation=group)
    place = {"seq": alice.send("x", conversation=group).seq} if action in (Action.PIN, Action.MODERATE) else {}
    changes = {name: rule for name, rule in rules.items() if rule != getattr(Rules(), name)}
    if changes:
        act(alice, "group.update", group, rules=changes)
    name, fields = ASKING[action]
    outcome = attempt(them, name, group, **(fields | place))
    assert (outcome is None) is allows(action, Rules(**rules), role)  # type: ignore[arg-type]
    assert outcome is None or isinstance(outcome, Forbidden)
    assert isinstance(attempt(chat.http("eve"), name, group, **(fields | place)), NotFound)


def attempt(who: Asker, name: str, group: str, **fields: Any) -> ChatdError | None:
    try:
        act(who, name, group, **fields)
    except ChatdError as error:
        return error
    return None


@pytest.mark.parametrize("name", ["member.remove", "member.ban", "member.mute"])
def test_what_is_done_to_others_takes_a_higher_role_than_theirs_but_for_owners(chat: Chat, name: str) -> None:
    alice, bob = chat.http("alice"), chat.http("bob")
    group = found(alice, "bob", "admin", "owner", "member")
    for user, role in (("bob", "admin"), ("admin", "admin"), ("owner", "owner")):
        promoted(alice, group, user, role)
    fields = {"until": UNTIL} if name == "member.mute" else {}
    for user in ("admin", "owner", "alice"):
        with pytest.raises(Forbidden, match="higher role"):
            act(bob, name, group, user=user, **fields)
    act(bob, name, group, user="member", **fields)
    act(alice, name, group, user="owner", **fields)


def test_the_rules_name_the_least_role() -> None:
    rules = Rules(posting="admin", inviting="member", editing="owner")
    wanted = [least_role(action, rules) for action in (Action.POST, Action.INVITE, Action.EDIT, Action.BAN)]
    assert wanted == ["admin", "member", "owner", "admin"]


@pytest.mark.parametrize("action", Action)
def test_nobody_finds_out_that_they_are_blocked_by_what_is_said_of_groups(action: Action, chat: Chat) -> None:
    """The direct conversation that a block begins is to the blocked as if it were not there."""
    chat.http("alice").ask("user.block", client_id="block", user="bob")
    name, fields = ASKING[action]
    for other in ("alice", "somebody"):
        with pytest.raises(NotFound):
            act(chat.http("bob"), name, direct("bob", other), **fields)
