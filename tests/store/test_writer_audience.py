"""The writer says whom a change brings in and puts out, so that other workers know whom it concerns."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from chatd.records.rosters import Membership, plain_roster
from tests.kit.stores import draft, new_id
from tests.kit.writing import FaultyLog, Writing


def decided(*, members=(), others=(), gone=()):
    """A rule that has these stand to the group as given."""

    def decide(roster, seq):
        joined = {user: Membership(since=seq - 1) for user in members}
        beside = {user: Membership(standing="invited", until=0) for user in others}
        left = {user: Membership(standing="left", until=seq) for user in gone}
        kept = {user: one for user, one in roster.members.items() if user not in left}
        return replace(roster, members=kept | joined, others=beside, changes=joined | beside | left)

    return decide


def promoted(roster, seq):
    bob = replace(roster.members["bob"], role="admin")
    return replace(roster, members={**roster.members, "bob": bob}, changes={"bob": bob})


@pytest.fixture
def change():
    """Makes a change of a group of alice and bob, in which something was said; what was published of it."""
    writing = Writing(FaultyLog(lambda: datetime.now(UTC)))
    group = plain_roster(new_id(), "group", ("alice", "bob"))
    writing.append(draft(group.conversation, "begins", kind="group.created", roster=group, begins=True))

    def make(decide=lambda roster, seq: roster):
        writing.append(draft(group.conversation, "changes", kind="group.changed", roster=group, decide=decide))
        return writing.published[-1]

    return make


def test_who_joins_has_come(change):
    publication = change(decided(members=("carol",)))
    assert (publication.came, publication.gone, publication.access) == (("carol",), (), 1)
    assert set(publication.audience) == {"alice", "bob", "carol"}


def test_who_leaves_has_gone_and_sees_that(change):
    publication = change(decided(gone=("bob",)))
    assert (publication.came, publication.gone) == ((), ("bob",))
    assert set(publication.audience) == {"alice", "bob"}


def test_who_is_invited_has_neither_come_nor_gone_and_sees_nothing(change):
    publication = change(decided(others=("eve",)))
    assert (publication.came, publication.gone) == ((), ())
    assert set(publication.audience) == {"alice", "bob"}
    assert "eve" not in change(decided(gone=("bob",), others=("eve",))).gone


def test_who_is_promoted_was_there_before(change):
    publication = change(promoted)
    assert (publication.came, publication.gone, publication.access) == ((), (), 1)


def test_what_changes_no_rights_brings_nobody_even_after_what_did(change):
    change(decided(members=("carol",)))
    publication = change()
    assert (publication.came, publication.gone, publication.access) == ((), (), 1)
