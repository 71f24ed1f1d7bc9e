"""Coming in by oneself, or asking to."""

import pytest

from chatd.errors import Conflict, Forbidden, NotFound, TooLarge, Unchanged
from chatd.handlers.group_events import MemberAdded, MemberJoined
from chatd.handlers.group_notices import ConversationJoined, JoinCancelled, JoinDenied, JoinRequested
from chatd.settings.model import Groups
from tests.kit.groups import act, found, promoted, roles, texts
from tests.kit.world import Asker, Chat


def asking(who: Asker, group: str) -> list[str]:
    return [one.user for one in who.ask("join.list", conversation=group).requests]


def test_into_an_open_group_one_just_comes(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"joining": "open"})
    listener = chat.connect("alice")
    joined = act(bob, "join.request", group)
    assert (joined.joined, joined.conversation, joined.seq) == (True, group, 2)
    assert [event.user for event in listener.of(MemberJoined)] == ["bob"]
    with pytest.raises(Unchanged, match="member already"):
        act(bob, "join.request", group)


def test_a_request_is_told_to_those_who_decide(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", "carol", rules={"joining": "request"})
    promoted(alice, group, "bob")
    listeners = {user: chat.connect(user) for user in ("alice", "bob", "carol", "eve")}
    asked = act(chat.http("eve"), "join.request", group, text="I sing")
    assert (asked.joined, asked.conversation) == (False, chat.http("eve").queue)
    for user in ("alice", "bob", "eve"):
        [event] = listeners[user].of(JoinRequested)
        assert (event.group, event.user, event.text) == (group, "eve", "I sing")
        assert event.conversation == chat.http(user).queue
    assert listeners["carol"].got == []
    assert asking(bob, group) == ["eve"]
    with pytest.raises(Unchanged, match="asked already"):
        act(chat.http("eve"), "join.request", group)
    with pytest.raises(NotFound):
        chat.http("eve").send("x", conversation=group)


def test_who_is_let_in_is_a_member(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"joining": "request"})
    act(bob, "join.request", group)
    alice.send("before", conversation=group)
    listener = chat.connect("bob")
    act(alice, "join.approve", group, user="bob")
    assert [event.users for event in listener.of(MemberAdded)] == [["bob"]]
    assert [(event.group, event.title) for event in listener.of(ConversationJoined)] == [(group, "Choir")]
    assert texts(bob, group) == []
    assert asking(alice, group) == []
    with pytest.raises(NotFound):
        act(alice, "join.approve", group, user="bob")


def test_who_is_not_is_told_and_may_ask_again(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"joining": "request"})
    listener = chat.connect("bob")
    for _ in range(2):
        act(bob, "join.request", group)
        act(alice, "join.deny", group, user="bob")
    assert [(event.group, event.user, event.by) for event in listener.of(JoinDenied)] == [(group, "bob", "alice")] * 2
    assert roles(alice, group) == {"alice": "owner"}


def test_a_request_is_taken_back(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"joining": "request"})
    act(bob, "join.request", group)
    listener = chat.connect("alice")
    act(bob, "join.cancel", group)
    assert [(event.group, event.user) for event in listener.of(JoinCancelled)] == [(group, "bob")]
    assert asking(alice, group) == []
    with pytest.raises(NotFound):
        act(alice, "join.approve", group, user="bob")


def test_only_those_decide_who_may(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", rules={"joining": "request"})
    for user in ("eve", "dave"):
        act(chat.http(user), "join.request", group)
    for name in ("join.approve", "join.deny"):
        with pytest.raises(Forbidden, match="decide on requests"):
            act(bob, name, group, user="eve")
        with pytest.raises(NotFound):
            act(chat.http("eve"), name, group, user="eve")
    with pytest.raises(Forbidden):
        asking(bob, group)
    page = alice.ask("join.list", conversation=group, limit=1)
    assert ([one.user for one in page.requests], page.next) == (["dave"], "dave")


def test_who_asks_may_be_invited_and_who_is_invited_need_not_ask(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"joining": "request"})
    act(bob, "join.request", group)
    act(alice, "invitation.send", group, user="bob")
    assert asking(alice, group) == []
    with pytest.raises(Unchanged, match="accept"):
        act(bob, "join.request", group)
    act(bob, "invitation.accept", group)


def test_by_invitation_alone_a_group_is_not_there(alice: Asker, bob: Asker) -> None:
    group = found(alice)
    with pytest.raises(NotFound):
        act(bob, "join.request", group)
    alice.send("hi", to="carol")
    with pytest.raises(NotFound):
        act(bob, "join.request", alice.queue)


def test_a_repeat_gets_the_first_reply_though_the_group_is_open_now(alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"joining": "request"})
    first = act(bob, "join.request", group, client_id="r")
    act(alice, "group.update", group, rules={"joining": "open"})
    assert act(bob, "join.request", group, client_id="r") == first
    assert act(bob, "join.request", group).joined
    with pytest.raises(Conflict):
        act(bob, "join.request", group, client_id="r", text="else")


def test_it_is_decided_on_the_rules_as_they_are(chat: Chat, alice: Asker, bob: Asker) -> None:
    """What the group was a moment before, when the command was looked at, does not count."""
    group = found(alice, rules={"joining": "open"})
    other = Chat(chat.database)
    change = chat.log.change
    for before, after in (("open", "request"), ("request", "open")):

        async def closed_meanwhile(drafts, after=after):  # type: ignore[no-untyped-def]
            chat.log.change = change  # type: ignore[method-assign]
            act(other.http("alice"), "group.update", group, rules={"joining": after})
            return await change(drafts)

        assert alice.ask("group.get", conversation=group).rules.joining == before
        chat.log.change = closed_meanwhile  # type: ignore[method-assign]
        with pytest.raises(NotFound):
            act(bob, "join.request", group)


def test_a_full_group_lets_nobody_in() -> None:
    chat = Chat(groups=Groups(max_members=2))
    alice = chat.http("alice")
    group = found(alice, rules={"joining": "request"})
    for user in ("bob", "carol"):
        act(chat.http(user), "join.request", group)
    with pytest.raises(TooLarge, match="that is the limit"):
        act(chat.http("dave"), "join.request", group)
    act(alice, "join.approve", group, user="bob")
    with pytest.raises(TooLarge):
        act(alice, "join.approve", group, user="carol")
    act(alice, "group.update", group, rules={"joining": "open"})
    with pytest.raises(TooLarge):
        act(chat.http("erin"), "join.request", group)


def test_joining_again_where_one_would_have_to_ask_by_now_says_nothing_of_the_queue(chat: Chat) -> None:
    """The first reply is a place of the group's log and none of the queue's, of which nothing is skipped."""
    alice, bob = chat.http("alice"), chat.http("bob")
    group = found(alice, rules={"joining": "open"})
    for number in range(5):
        alice.send("hi", conversation=group, client_id=f"m{number}")
    first = bob.ask("join.request", client_id="join", conversation=group)
    act(alice, "group.update", group, rules={"joining": "request"})
    phone = chat.connect("bob")
    assert bob.ask("join.request", client_id="join", conversation=group) == first
    assert phone.got == []
    places = [bob.ask("user.follow", client_id=f"f{number}", user=f"u{number}") for number in range(8)]
    assert phone.places == [(bob.queue, place.seq) for place in places]
