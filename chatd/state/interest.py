"""Which conversations the people connected to one worker follow, and how far the worker has handed each of them on."""

from collections import OrderedDict
from collections.abc import Callable, Set

from chatd.records.bus import News

PASSED_LOGS = 100_000
"""Of how many logs that nobody here follows a worker remembers how far they have come."""


class Followed:
    """One log with followers here.

    Everything up to and including ``high`` was dealt with, and all of that behind ``base`` was offered; the log reaches
    at least to ``target``. ``early`` is what came before its turn.
    """

    __slots__ = ("base", "early", "followers", "high", "name", "target")

    def __init__(self, name: str, high: int) -> None:
        self.name = name
        self.base = self.high = self.target = high
        self.followers = 0
        self.early: dict[int, News] | None = None

    @property
    def level(self) -> bool:
        """Whether everything that is known to stand in the log was dealt with."""
        return self.high >= self.target


class Interest:
    """Followers by conversation. A log is kept while it has any: some 350 bytes, and 40 for each follower.

    ``begun`` is called with each conversation, or event queue, that begins to concern somebody here.
    """

    def __init__(self) -> None:
        self.begun: Callable[[str], None] = _nobody_cares
        self._logs: dict[str, Followed] = {}
        self._followed: dict[str, set[str]] = {}
        self._passed: OrderedDict[str, int] = OrderedDict()
        self._dealt_with: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._logs)

    def log(self, conversation: str) -> Followed | None:
        """The log, if anybody follows it."""
        return self._logs.get(conversation)

    def logs(self) -> list[str]:
        """All that are followed."""
        return [*self._logs]

    def followed(self, user: str) -> Set[str]:
        """All that ``user`` follows."""
        return self._followed.get(user, frozenset())

    def follows(self, user: str, conversation: str) -> bool:
        """Whether ``user`` is known to be sent what comes in it."""
        return conversation in self._followed.get(user, ())

    def follow(self, user: str, conversation: str, high: int) -> Followed:
        """From now on ``user`` follows it. Where nobody did, everything up to ``high`` has been dealt with."""
        log = self._logs.get(conversation)
        if log is None:
            log = self._logs[conversation] = Followed(conversation, high)
            log.target = max(high, self._passed.pop(conversation, 0))
            self.begun(conversation)
        followed = self._followed.setdefault(user, set())
        if conversation not in followed:
            followed.add(log.name)
            log.followers += 1
        return log

    def unfollow(self, user: str, conversation: str) -> None:
        """``user`` is no member any more."""
        followed = self._followed.get(user, set())
        if conversation in followed:
            followed.remove(conversation)
            self._release(conversation)

    def leave(self, user: str) -> None:
        """``user`` is no longer connected here."""
        self._dealt_with.pop(user, None)
        for conversation in self._followed.pop(user, ()):
            self._release(conversation)

    def mark_dealt_with(self, user: str, conversation: str, seq: int) -> None:
        """All that ``user`` may see of it up to ``seq``, in a stay that has ended, needs no word any more."""
        marks = self._dealt_with.setdefault(user, {})
        marks[conversation] = max(seq, marks.get(conversation, 0))

    def dealt_with(self, user: str, conversation: str) -> int:
        """Up to where nothing of earlier stays of ``user`` concerns anybody here."""
        return self._dealt_with.get(user, {}).get(conversation, 0)

    def _release(self, conversation: str) -> None:
        log = self._logs[conversation]
        log.followers -= 1
        if not log.followers:
            del self._logs[conversation]
            self.pass_by(conversation, log.target)

    def followers(self, conversation: str) -> list[str]:
        """Everybody who follows it: at the cost of looking at all who are connected."""
        return [user for user, followed in self._followed.items() if conversation in followed]

    def pass_by(self, conversation: str, seq: int) -> None:
        """A log that nobody here follows has come to ``seq``: whoever follows it later may have read less."""
        passed = self._passed
        passed[conversation] = max(seq, passed.get(conversation, 0))
        passed.move_to_end(conversation)
        if len(passed) > PASSED_LOGS:
            passed.popitem(last=False)


def _nobody_cares(conversation: str) -> None:
    """All is heard anyway."""
