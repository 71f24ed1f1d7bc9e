"""What the log promises about changes that are more than a message: they are decided on current state, or not made."""

from functools import partial

import pytest_twisted
from msgspec.structs import replace
from twisted.internet.defer import Deferred, gatherResults

from chatd.errors import Conflict, Forbidden, NotFound
from chatd.records.logs import Appended, Cursor, Elsewhere, Page, Revision
from chatd.records.rosters import MEMBER, Membership, Roster, Rules, plain_roster
from tests.kit.stores import draft, new_id, new_user, notice, open_one, say, texts

OWNER = Membership(role="owner")


def with_people(roster, people, **more):
    """A roster after a change of how these stand to it."""
    members = {user: one for user, one in roster.members.items() if user not in people}
    others = {user: one for user, one in roster.others.items() if user not in people}
    members |= {user: one for user, one in people.items() if one.standing == "member"}
    others |= {user: one for user, one in people.items() if one.standing not in ("member", "left")}
    return replace(roster, members=members, others=others, changes=people, **more)


def joining(*users):
    return lambda roster, seq: with_people(roster, dict.fromkeys(users, Membership(since=seq - 1)))


def leaving(user):
    def decide(roster, seq):
        if user not in roster.members:
            raise NotFound
        return with_people(roster, {user: Membership(standing="left", since=roster.members[user].since, until=seq)})

    return decide


def members_only(user, roster, seq):
    if user not in roster.members:
        raise NotFound
    return roster


def begun(owner):
    """A group, empty, and the change by which it begins."""
    group = Roster(conversation=new_id(), kind="group", members={})
    return draft(
        group.conversation,
        "founded",
        author=owner,
        kind="group.created",
        roster=group,
        begins=True,
        decide=lambda roster, seq: with_people(roster, {owner: OWNER}, profile=seq),
    )


async def begin(stores, owner, *others):
    [place] = await stores.log.change([begun(owner)])
    if others:
        [place] = await stores.log.change([alter(place.roster, owner, joining(*others))])
    return place.roster


def alter(roster, author, decide, text="altered", **more):
    return draft(roster.conversation, text, author=author, kind="group.altered", roster=roster, decide=decide, **more)


def message(roster, author, text="hello", **more):
    more.setdefault("decide", partial(members_only, author))
    return draft(roster.conversation, text, author=author, roster=roster, **more)


async def log_of(stores, conversation, reader):
    return await stores.log.entries(reader, [Cursor(conversation=conversation, seq=0)], 1000)


async def history_of(stores, conversation, reader, **more):
    page = Page(conversation=conversation, reader=reader, low=0, high=2**53, limit=100, newest=False, **more)
    return await stores.log.messages(page)


# Rights


@pytest_twisted.ensureDeferred
async def test_a_group_begins_with_a_change_and_its_rights_are_kept(stores):
    alice, bob = new_user("alice"), new_user("bob")
    founding = begun(alice)
    [place] = await stores.log.change([founding])
    assert (place.seq, place.roster.access, place.audience) == (1, 1, {alice: OWNER})
    rules = Rules(posting="admin", inviting="member", editing="owner", joining="open", history="all")
    invited = Membership(standing="invited", until=0, by=alice, expires_at=place.time)
    muted = Membership(role="admin", since=1, muted_until=place.time)
    decide = lambda roster, seq: with_people(roster, {bob: muted, "eve": invited}, rules=rules)  # noqa: E731
    [place] = await stores.log.change([alter(place.roster, alice, decide)])
    kept = await stores.conversations.roster(founding.conversation)
    assert replace(kept, changes={}) == replace(place.roster, changes={})
    assert (kept.access, kept.profile, kept.rules) == (2, 1, rules)
    assert (kept.members, kept.others) == ({alice: OWNER, bob: muted}, {"eve": invited})
    assert await stores.conversations.membership(kept.conversation, "eve") == invited
    assert await stores.conversations.membership(kept.conversation, "nobody") is None
    found = await stores.conversations.get(kept.conversation)
    assert (found.kind, found.members, found.member_count, found.profile) == ("group", (), 2, 1)


@pytest_twisted.ensureDeferred
async def test_there_is_no_roster_where_there_is_no_conversation(stores):
    nowhere = new_id()
    assert await stores.conversations.roster(nowhere) is None
    assert await stores.conversations.membership(nowhere, "alice") is None


@pytest_twisted.ensureDeferred
async def test_what_was_allowed_by_rights_that_have_changed_is_decided_anew(stores):
    alice, bob, carol = new_user("alice"), new_user("bob"), new_user("carol")
    before = await begin(stores, alice, bob, carol)
    [left] = await stores.log.change([alter(before, bob, leaving(bob))])
    late, fine = message(before, bob), message(before, carol)
    assert await stores.log.append([late, fine]) == [None, None]
    refused, placed = await stores.log.change([late, fine])
    assert isinstance(refused, NotFound)
    assert (placed.seq, placed.roster.members) == (left.seq + 1, left.roster.members)
    assert [place.seq for place in await stores.log.append([message(placed.roster, carol)])] == [left.seq + 2]


@pytest_twisted.ensureDeferred
async def test_each_draft_of_a_batch_is_decided_on_what_those_before_it_left(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice)
    verdicts = await stores.log.change(
        [
            message(roster, bob, "too early"),
            alter(roster, alice, joining(bob)),
            message(roster, bob, "in time"),
            alter(roster, bob, leaving(bob)),
            message(roster, bob, "too late"),
        ]
    )
    assert [type(verdict) for verdict in verdicts] == [NotFound, Appended, Appended, Appended, NotFound]
    assert [verdict.seq for verdict in verdicts if isinstance(verdict, Appended)] == [2, 3, 4]
    assert texts(await log_of(stores, roster.conversation, alice)) == ["founded", "altered", "in time", "altered"]


@pytest_twisted.ensureDeferred
async def test_whoever_comes_or_goes_is_among_those_who_hear_of_it(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice)
    [joined, left, said] = await stores.log.change(
        [alter(roster, alice, joining(bob)), alter(roster, bob, leaving(bob)), message(roster, alice)]
    )
    assert [set(place.audience) for place in (joined, left, said)] == [{alice, bob}, {alice, bob}, {alice}]


@pytest_twisted.ensureDeferred
async def test_of_two_owners_who_step_down_at_once_one_remains(stores):
    """Fault 61."""
    alice, bob = new_user("alice"), new_user("bob")

    def stepping_down(user):
        def decide(roster, seq):
            if not any(one.role == "owner" for other, one in roster.members.items() if other != user):
                raise Forbidden
            return with_people(roster, {user: MEMBER})

        return decide

    for _ in range(5):
        roster = await begin(stores, alice)
        promoting = lambda roster, seq: with_people(roster, {bob: OWNER})  # noqa: E731
        [place] = await stores.log.change([alter(roster, alice, promoting)])
        demotions = [alter(place.roster, user, stepping_down(user)) for user in (alice, bob)]
        verdicts = await gatherResults([Deferred.fromCoroutine(stores.log.change([one])) for one in demotions])
        assert sorted(type(verdict).__name__ for [verdict] in verdicts) == ["Appended", "Forbidden"]
        kept = await stores.conversations.roster(roster.conversation)
        assert sorted(one.role for one in kept.members.values()) == ["member", "owner"]


@pytest_twisted.ensureDeferred
async def test_a_removal_and_a_message_at_the_same_time_have_one_order(stores):
    """Fault 61: either it stands before the removal, or it is refused."""
    alice, bob = new_user("alice"), new_user("bob")
    for _ in range(10):
        roster = await begin(stores, alice, bob)

        async def send(roster=roster):
            said = message(roster, bob)
            [placed] = await stores.log.append([said])
            return [placed] if placed else await stores.log.change([said])

        removal = stores.log.change([alter(roster, alice, leaving(bob))])
        [[removed], [said]] = await gatherResults([Deferred.fromCoroutine(one) for one in (removal, send())])
        assert isinstance(said, NotFound) or said.seq < removed.seq


# What a reader sees


@pytest_twisted.ensureDeferred
async def test_members_see_the_log_from_their_joining_until_their_leaving(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice)
    await stores.log.append([message(roster, alice, "before")])
    [place] = await stores.log.change([alter(roster, alice, joining(bob), "joins")])
    await stores.log.append([message(place.roster, alice, "meanwhile")])
    [place] = await stores.log.change([alter(roster, bob, leaving(bob), "leaves")])
    await stores.log.append([message(place.roster, alice, "after")])
    group = roster.conversation
    assert texts(await log_of(stores, group, bob)) == ["joins", "meanwhile", "leaves"]
    assert texts([kept.entry for kept in await history_of(stores, group, bob)]) == ["meanwhile"]
    assert texts(await log_of(stores, group, alice)) == ["founded", "before", "joins", "meanwhile", "leaves", "after"]
    assert await log_of(stores, group, new_user()) == []
    assert await history_of(stores, group, new_user()) == []
    [position] = await stores.conversations.positions(bob, "phone")
    assert (position.conversation, position.since, position.last_seq) == (group, 2, 5)
    assert await stores.reading.page(bob, None, 10, False) == []
    assert [mark.user for mark in await stores.reading.marks(group)] == [alice]


@pytest_twisted.ensureDeferred
async def test_a_group_may_show_new_members_what_was_said_before(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice)
    await stores.log.append([message(roster, alice, "before")])
    opening = lambda roster, seq: with_people(  # noqa: E731
        roster, {bob: Membership(since=seq - 1)}, rules=Rules(history="all")
    )
    [place] = await stores.log.change([alter(roster, alice, opening, "joins")])
    assert texts([kept.entry for kept in await history_of(stores, roster.conversation, bob)]) == ["before"]
    assert texts(await log_of(stores, roster.conversation, bob)) == ["joins"]
    await stores.log.change([alter(place.roster, bob, leaving(bob))])
    assert await history_of(stores, roster.conversation, bob) == []


@pytest_twisted.ensureDeferred
async def test_who_is_only_invited_sees_nothing(stores):
    alice, eve = new_user("alice"), new_user("eve")
    roster = await begin(stores, alice)
    invited = Membership(standing="invited", until=0, by=alice)
    await stores.log.change([alter(roster, alice, lambda one, seq: with_people(one, {eve: invited}))])
    assert await log_of(stores, roster.conversation, eve) == []
    assert await stores.conversations.positions(eve, "phone") == []


# Repeats


@pytest_twisted.ensureDeferred
async def test_a_repeat_is_answered_from_before_whatever_has_changed_since(stores):
    """Promise 4: its author may have lost the right to do it again."""
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice, bob)
    going = alter(roster, bob, leaving(bob))
    [first] = await stores.log.change([going])
    new = message(first.roster, alice)
    again, other, placed = await stores.log.change(
        [going, alter(roster, bob, leaving(bob), "else", client_id=going.client_id), new]
    )
    assert (again.seq, again.time) == (first.seq, first.time)
    assert isinstance(other, Conflict)
    assert placed.seq == first.seq + 1


# Messages


@pytest_twisted.ensureDeferred
async def test_an_edit_stands_in_the_log_and_the_history_shows_it(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "a", "b", "c")
    roster = await stores.conversations.roster(conversation)
    edits = [
        draft(conversation, text, kind="message.edited", roster=roster, revision=Revision(target=2, revise=edited))
        for text in ("B", "BB")
    ]
    assert [place.seq for place in await stores.log.change(edits)] == [4, 5]
    kept = await history_of(stores, conversation, "alice")
    assert [(one.entry.sealed, one.edit and one.edit.sealed) for one in kept] == [
        (b"a", None),
        (b"b", b"BB"),
        (b"c", None),
    ]
    assert [one.state.edited for one in kept] == [None, 5, None]
    log = await log_of(stores, conversation, "alice")
    assert texts(log) == ["a", "b", "c", "B", "BB"]
    assert [entry.target for entry in log] == [None, None, None, 2, 2]


def edited(state, seq):
    if state.deleted is not None:
        raise NotFound
    return replace(state, edited=seq)


def deleted(state, seq):
    return replace(state, deleted=seq)


def revising(conversation, roster, target, revise, kind="message.edited", text="new"):
    return draft(conversation, text, kind=kind, roster=roster, revision=Revision(target=target, revise=revise))


@pytest_twisted.ensureDeferred
async def test_what_is_deleted_is_overwritten_with_all_its_versions_and_keeps_its_place(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "a", "b")
    roster = await stores.conversations.roster(conversation)
    await stores.log.change([revising(conversation, roster, 1, edited)])
    [erased, refused] = await stores.log.change(
        [
            revising(conversation, roster, 1, deleted, "message.deleted", "gone"),
            revising(conversation, roster, 1, edited),
        ]
    )
    assert isinstance(refused, NotFound)
    assert texts(await log_of(stores, conversation, "alice")) == ["", "b", "", "gone"]
    first, second = await history_of(stores, conversation, "alice")
    assert (first.entry.erased, first.state.deleted, first.edit.erased) == (True, erased.seq, True)
    assert not second.entry.erased


@pytest_twisted.ensureDeferred
async def test_a_change_of_a_message_that_is_not_there_is_refused(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "a")
    roster = await stores.conversations.roster(conversation)
    drafts = [revising(conversation, roster, target, edited) for target in (2, 1, 99)]
    verdicts = await stores.log.change(drafts)
    # The first becomes the second entry, which is no message.
    assert [type(verdict) for verdict in verdicts] == [NotFound, Appended, NotFound]


@pytest_twisted.ensureDeferred
async def test_replies_belong_to_the_thread_of_what_they_reply_to(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "root", "other")
    first, none = draft(conversation, "first", reply_to=1), draft(conversation, "to nothing", reply_to=77)
    assert [place and place.seq for place in await stores.log.append([first, none])] == [3, None]
    assert [type(verdict) for verdict in await stores.log.change([none])] == [NotFound]
    nested = [draft(conversation, "nested", reply_to=3), draft(conversation, "deeper", reply_to=4)]
    assert [place.seq for place in await stores.log.change(nested)] == [4, 5]
    thread = await history_of(stores, conversation, "alice", thread=1)
    assert texts([kept.entry for kept in thread]) == ["first", "nested", "deeper"]


@pytest_twisted.ensureDeferred
async def test_pinned_messages_are_found(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "a", "b", "c")
    roster = await stores.conversations.roster(conversation)
    pinned = lambda state, seq: replace(state, pinned=seq)  # noqa: E731
    unpinned = lambda state, seq: replace(state, pinned=None)  # noqa: E731
    pins = [revising(conversation, roster, target, pinned, "message.pinned") for target in (3, 1)]
    await stores.log.change([*pins, revising(conversation, roster, 3, unpinned, "message.unpinned")])
    found = await history_of(stores, conversation, "alice", pinned=True)
    assert [(kept.entry.seq, kept.state.pinned) for kept in found] == [(1, 5)]


# Beside the log itself


@pytest_twisted.ensureDeferred
async def test_notices_go_into_queues_with_their_change_or_not_at_all(stores):
    alice, bob, queue = new_user("alice"), new_user("bob"), new_id()
    roster = await begin(stores, alice)
    news, unheard = notice(queue, bob, "news", author=alice), notice(queue, bob, "never", author=bob)
    inviting = alter(roster, alice, lambda one, seq: one, notices=(news, news))
    refused = message(roster, bob, notices=(unheard,))
    verdicts = await stores.log.change([refused, inviting])
    assert isinstance(verdicts[0], NotFound)
    assert [(entry.conversation, entry.seq) for entry in verdicts[1].notices] == [(queue, 1), (queue, 2)]
    assert await log_of(stores, queue, bob) == list(verdicts[1].notices)


@pytest_twisted.ensureDeferred
async def test_rights_elsewhere_change_with_it_and_leave_no_entry(stores):
    """A block: it stands in the queue of who blocks, and closes the conversation of the two."""
    alice, bob, queue, shared = new_user("alice"), new_user("bob"), new_id(), new_id()
    pair = replace(plain_roster(shared, "direct", sorted((alice, bob))), opened=False)
    blocking = lambda roster, seq: with_people(roster, {alice: Membership(blocking=True)})  # noqa: E731
    own = plain_roster(queue, "queue", (alice,))
    block = draft(
        queue,
        "blocked",
        author=alice,
        kind="user.blocked",
        roster=own,
        begins=True,
        elsewhere=(Elsewhere(roster=pair, decide=blocking),),
    )
    [place] = await stores.log.change([block])
    kept = await stores.conversations.roster(shared)
    assert replace(kept, changes={}) == replace(place.elsewhere[0], changes={})
    assert (kept.access, kept.opened, kept.members[alice].blocking, kept.members[bob].blocking) == (
        1,
        False,
        True,
        False,
    )
    assert (await stores.conversations.get(shared)).last_seq == 0
    assert await stores.conversations.open(shared, "direct", (alice, bob), [notice(new_id(), bob)]) == []
    assert not (await stores.conversations.roster(shared)).opened
    unblocking = lambda roster, seq: with_people(roster, {alice: MEMBER})  # noqa: E731
    [place] = await stores.log.change(
        [
            draft(
                queue,
                "unblocked",
                author=alice,
                kind="user.unblocked",
                roster=own,
                begins=True,
                elsewhere=(Elsewhere(roster=pair, decide=unblocking),),
            )
        ]
    )
    [told] = await stores.conversations.open(shared, "direct", (alice, bob), [notice(new_id(), bob)])
    opened = await stores.conversations.roster(shared)
    assert (told.seq, opened.opened, opened.access) == (1, True, 3)


@pytest_twisted.ensureDeferred
async def test_what_does_not_begin_a_queue_is_decided_by_its_own_rules(stores):
    reader, queue = new_user(), new_id()
    await stores.conversations.open(new_id(), "direct", (reader,), [notice(queue, reader)])

    def refuse(roster, seq):
        assert (roster.kind, [*roster.members], seq) == ("queue", [reader], 2)
        raise Forbidden

    intruder = draft(queue, roster=await stores.conversations.roster(queue), decide=refuse)
    assert [type(verdict) for verdict in await stores.log.change([intruder])] == [Forbidden]


@pytest_twisted.ensureDeferred
async def test_a_conversation_that_is_not_there_is_not_begun_by_whoever_just_names_it(stores):
    nowhere = draft(new_id(), kind="group.altered")
    assert [type(verdict) for verdict in await stores.log.change([nowhere])] == [NotFound]
    assert await stores.conversations.get(nowhere.conversation) is None


@pytest_twisted.ensureDeferred
async def test_rights_elsewhere_are_those_of_a_conversation_that_is_open_already(stores):
    alice, bob, queue = new_user("alice"), new_user("bob"), new_id()
    shared = await open_one(stores, alice, bob)
    pair = replace(plain_roster(shared, "direct", sorted((alice, bob))), opened=False)
    blocking = lambda roster, seq: with_people(roster, {alice: Membership(blocking=True)})  # noqa: E731
    own = plain_roster(queue, "queue", (alice,))
    block = draft(queue, author=alice, roster=own, begins=True, elsewhere=(Elsewhere(roster=pair, decide=blocking),))
    [place] = await stores.log.change([block])
    assert (place.elsewhere[0].opened, place.elsewhere[0].access) == (True, 1)
    assert replace(await stores.conversations.roster(shared), changes={}) == replace(place.elsewhere[0], changes={})
