"""Who may come near a conversation at all, and what they see of it; what they may do there is told in ``rights``.

=========================================  ==================================================================
whoever                                    finds
=========================================  ==================================================================
is a member                                what was said since they joined, or all, where the group shows that
has left, was removed or was banned        what was theirs when they went, to read
is invited, or asks to be let in           the group itself, and the commands that answer or take that back
has never stood to it in any way           nothing: it is to them as if it were not there
=========================================  ==================================================================

To tell the last from what really is not there would tell that two people write to each other, since the id of their
conversation follows from their names. So one question to the store decides for both, whatever this worker happens to
know: an answer takes the same steps for both, not only the same words.
"""

from collections.abc import Iterable

from chatd.errors import Forbidden, Invalid, NotFound
from chatd.interfaces.conversations import IConversationStore
from chatd.records.rosters import Membership, Roster
from chatd.state.directory import Directory
from chatd.state.relations import APART


class Access:
    """The way from a conversation's id to the conversation, for those who may take it; NotFound for all others."""

    def __init__(self, directory: Directory, store: IConversationStore) -> None:
        self._directory = directory
        self._store = store

    async def roster(self, conversation: str, user: str) -> Roster:
        """What a change that ``user`` asks for begins with.

        Former members are let through: what they did before they went they may ask for again, and get the first reply.
        Whether they may do it now is decided where it is written, on the locked roster.
        """
        roster = self._inside(conversation, user)
        if roster is not None:
            return roster
        if await self._store.membership(conversation, user) is None:
            raise NotFound
        return await self._directory.roster(conversation)

    async def shared(self, conversation: str, user: str) -> Roster:
        """The roster of a conversation that ``user`` is a member of now. Of a group that is looked up each time."""
        roster = self._inside(conversation, user)
        if roster is not None and roster.kind != "group":
            return roster
        check_present(await self._store.membership(conversation, user))
        if roster is None:
            self._directory.forget(conversation)
            roster = await self._directory.roster(conversation)
        check_sees(roster, user)
        return roster

    async def check_reader(self, conversation: str, user: str) -> None:
        """Raise NotFound unless ``user`` may read anything here, be it only of former times."""
        if self._inside(conversation, user) is None:
            membership = await self._store.membership(conversation, user)
            if membership is None or (membership.until is not None and membership.until <= membership.since):
                raise NotFound

    def _inside(self, conversation: str, user: str) -> Roster | None:
        """The roster, if it is at hand and ``user`` is a member as far as it says."""
        roster = self._directory.known(conversation)
        return roster if roster is not None and roster.opened and user in roster.members else None


def check_present(membership: Membership | None) -> Membership:
    """How a present member stands to a conversation; raises NotFound for anybody else."""
    if membership is None or membership.standing != "member":
        raise NotFound
    return membership


def check_sees(roster: Roster, user: str, seq: int | None = None) -> None:
    """Raise NotFound unless ``user`` is a member, and sees what stands at ``seq``, if that is given.

    Of a conversation that its people were never told of nobody sees anything.
    """
    membership = roster.members.get(user)
    if membership is None or not roster.opened:
        raise NotFound
    if seq is not None and seq <= membership.since and roster.rules.history != "all":
        raise NotFound


def check_unblocked(roster: Roster) -> None:
    """Raise Forbidden in a direct conversation of two of whom one blocks the other; neither is told which."""
    if roster.blocked:
        raise Forbidden(APART)


def check_mentions(roster: Roster, mentions: Iterable[str]) -> None:
    """Raise Invalid unless all who are mentioned are members."""
    if not all(user in roster.members for user in mentions):
        raise Invalid("`mentions` names somebody who is not a member.")
