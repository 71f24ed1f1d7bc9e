"""Groups, as those who are in them ask for what they want."""

from typing import Any

from zope.interface import implementer

from chatd.errors import Forbidden
from chatd.interfaces.people import IRelations
from tests.kit.stores import new_client_id
from tests.kit.world import Asker, Chat


def act(who: Asker, name: str, group: str, **fields: Any) -> Any:
    """Ask for something in a group, under a ``client_id`` of its own unless one is given."""
    fields.setdefault("client_id", new_client_id())
    return who.ask(name, conversation=group, **fields)


def found(who: Asker, *members: str, **fields: Any) -> str:
    """Found a group; its id."""
    fields = {"client_id": new_client_id(), "title": "Choir", **fields}
    return str(who.ask("group.create", members=list(members), **fields).conversation)


def promoted(who: Asker, group: str, user: str, role: str = "admin") -> Asker:
    """Give a member a role; the member."""
    act(who, "member.role", group, user=user, role=role)
    return who.chat.http(user)


def roles(who: Asker, group: str) -> dict[str, str]:
    """The members and their roles."""
    return {one.user: one.role for one in who.ask("member.list", conversation=group).members}


def log(chat: Chat, user: str, conversation: str) -> list[Any]:
    """The events of a log, as somebody is told them who comes later."""
    client = chat.connect(user, "a new device", synced=False)
    client.ask("sync")
    client.hang_up()
    return [event for event in client.got if getattr(event, "conversation", None) == conversation]


def texts(who: Asker, group: str) -> list[str]:
    """What the history says."""
    return [message.text for message in who.ask("history.get", conversation=group).messages]


@implementer(IRelations)
class Blocks:
    """Some people are apart from some others."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = {frozenset(pair) for pair in pairs}

    async def apart(self, user: str) -> frozenset[str]:
        return frozenset(one for pair in self.pairs if user in pair for one in pair - {user})

    async def check_contact(self, user: str, other: str) -> None:
        if frozenset((user, other)) in self.pairs:
            raise Forbidden("You may not contact this person.")
