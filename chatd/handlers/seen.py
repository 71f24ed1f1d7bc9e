"""One message, as somebody sees it."""

from chatd.errors import ChatdError
from chatd.interfaces.log import ILogStore
from chatd.records.logs import KeptMessage, Page
from chatd.records.rosters import Decide, Roster


async def seen(store: ILogStore, user: str, conversation: str, seq: int) -> KeptMessage | None:
    """The message at ``seq`` as it is now; None where there is none, or none that ``user`` may see."""
    page = Page(conversation=conversation, reader=user, low=seq - 1, high=seq + 1, limit=1, newest=False)
    found = await store.messages(page)
    return found[0] if found else None


def refusing(refusal: ChatdError) -> Decide:
    """Allow nothing: for a change that was refused by what was read before.

    It is handed on all the same, since repeats are looked for first: whoever asks again gets the first reply, even
    where by now they would be refused.
    """

    def refuse(roster: Roster, seq: int) -> Roster:
        raise refusal

    return refuse
