"""One worker's connections among those of other workers: nothing is believed to be in its turn that is not seen to be.

What reaches a worker of another's changes may be late, twice, out of turn or never. So for each conversation that
somebody here follows, the hub keeps how far it has handed the log on, its **high** mark, and holds to this:

- a connection that is live in a conversation has been offered all up to ``high`` that its user may see, or is stale;
- what comes next in turn, with all that is needed to hand it on, is handed on at once;
- everything else says only how far the log has come: it is read from there (see :class:`~chatd.bus.backfill.Backfill`),
  once for all connections of this worker.

A person follows a conversation here once one of their connections has settled in it, or was offered what made them a
member. Whoever is found to be in the audience without following has missed how they came in: their live connections are
told that the conversation is stale, unless it is short and new here: then it is read from its start. ``base`` is where
a log's mark stood when its first follower came: a connection whose position was read before that has it read.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from chatd.records.bus import News, Reach, Tail, news_of
from chatd.records.logs import Cursor, Entry, Publication
from chatd.records.rosters import Roster
from chatd.state.delivery import Delivery, Phase, Start
from chatd.state.directory import Directory
from chatd.state.hub import Hub
from chatd.state.ids import event_queue
from chatd.state.interest import Followed, Interest
from chatd.wire.events import LogEvent, Outgoing

EARLY_NEWS = 64
"""How many changes of one log are kept that came before their turn. Beyond, they are read from the log."""

LONGEST_GAP = 1_000
"""How many changes of one log are read for all connections. Where more are missing each reads for itself."""

SHORT_LOG = 16
"""Up to where a log that is new to this worker is read from its start."""


class Gap(Cursor, frozen=True, kw_only=True, gc=False):
    """A log that has to be read behind ``seq``, since it is said to reach to ``target``."""

    target: int


class _Gathering:
    """Somebody's positions are being read, and meanwhile logs that they are no members of were read on for others."""

    __slots__ = ("dismissed", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.dismissed: set[str] = set()


class SharedHub(Hub):
    """See the module. ``opened`` opens an entry with a key that is at hand, or gives None.

    ``wake`` is called when there is something to be read: by then :meth:`gaps` says what.
    """

    def __init__(
        self,
        event_of: Callable[[Entry, object], LogEvent],
        opened: Callable[[Entry], msgspec.Struct | None],
        directory: Directory,
    ) -> None:
        super().__init__(event_of)
        self.interest = Interest()
        self.wake: Callable[[], None] = _nobody_reads
        self._opened = opened
        self._directory = directory
        self._gathering: dict[Delivery[Any], _Gathering] = {}
        self._wanting: dict[str, None] = {}

    # -- connections --

    def attach(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`Hub`."""
        super().attach(user, delivery)
        self.interest.begun(event_queue(user))

    def detach(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`Hub`."""
        super().detach(user, delivery)
        self._gathering.pop(delivery, None)
        if user not in self._users:
            self.interest.leave(user)

    def begin(self, user: str, delivery: Delivery[Any]) -> None:
        """See :class:`Hub`."""
        if delivery.phase is not Phase.ENDED:
            self._gathering[delivery] = _Gathering(user)

    def settle(self, user: str, delivery: Delivery[Any], starts: Sequence[Start]) -> list[Cursor]:
        """See :class:`Hub`. From here on the logs of these positions are followed."""
        gathering = self._gathering.pop(delivery, None)
        if delivery.phase is Phase.ENDED:
            return []
        if delivery.phase is Phase.GATHERING:
            if gathering is not None:
                for start in starts:
                    if start.conversation in gathering.dismissed:
                        delivery.lost(start.conversation)
            # They were joined after the positions were read, and perhaps heard of by way of another device.
            for conversation in self.interest.followed(user) - {start.conversation for start in starts}:
                delivery.lost(conversation)
        return delivery.settle([self._placed(user, delivery, start) for start in starts])

    def _placed(self, user: str, delivery: Delivery[Any], start: Start) -> Start:
        """The start, with whether this hub may yet offer what stands before its end."""
        conversation = start.conversation
        if not start.present:
            log = self.interest.log(conversation)
            if log is not None and self.interest.follows(user, conversation) and start.last_seq < log.base:
                # They came back while their positions were being read.
                delivery.lost(conversation)
            if len(self._users.get(user, ())) == 1:
                self.interest.mark_dealt_with(user, conversation, start.last_seq)
            # Whatever the log's mark is: it goes with the log's last follower.
            heard = self.interest.dealt_with(user, conversation)
            return msgspec.structs.replace(start, recent=start.last_seq > heard)
        new = not self.interest.follows(user, conversation)
        log = self.interest.follow(user, conversation, start.last_seq)
        log.target = max(log.target, start.last_seq)
        self._want_unless_level(log)
        if log.high < start.since:
            self.interest.mark_dealt_with(user, conversation, start.since)
        if start.last_seq < log.base:
            delivery.lost(conversation)
        if new and start.last_seq > start.since:
            for other in self._users.get(user, ()):
                if other is not delivery and not self._reads(other, conversation):
                    other.lost(conversation)
        return msgspec.structs.replace(start, recent=not log.level)

    def interrupt(self, delivery: Delivery[Any]) -> None:
        """See :class:`Hub`."""
        self._gathering.pop(delivery, None)
        delivery.interrupted()

    def _reads(self, delivery: Delivery[Any], conversation: str) -> bool:
        """Whether its position in this log is being read, so that it needs what comes and has missed nothing yet."""
        return delivery in self._gathering and (delivery.phase is Phase.GATHERING or delivery.is_behind(conversation))

    # -- what comes --

    def receive(self, publications: Sequence[Publication]) -> None:
        """Changes of this worker's own."""
        for publication in publications:
            self.hear(news_of(publication))
        self._tell(publications)

    def hear(self, news: News) -> None:
        """A change was committed, here or elsewhere."""
        log = self.interest.log(news.conversation) or self._begun(news)
        if log is None:
            self.interest.pass_by(news.conversation, news.seq)
        elif news.seq > log.high:
            log.target = max(log.target, news.seq)
            if news.seq == log.high + 1 and self._hand_on(log, news):
                self._go_on(log)
            else:
                _keep_early(log, news)
                self._want_unless_level(log)

    def _begun(self, news: News) -> Followed | None:
        """A log that nobody here has followed so far, if the news names anybody who does from now on.

        They have been sent nothing of it, so a short one is read from its start.
        """
        log = None
        users = self._connected(news.came if news.audience is None else news.audience)
        # Whoever went after this has seen it: it is heard again.
        users = [user for user in users if self.interest.dealt_with(user, news.conversation) < news.seq]
        strangers = [user for user in users if not _comes_in(user, news)]
        from_start = strangers and news.seq <= SHORT_LOG
        for user in users:
            log = self.interest.follow(user, news.conversation, 0 if from_start else news.seq - 1)
        for user in strangers if not from_start else ():
            self._lose(user, news.conversation)
        return log

    def _lose(self, user: str, conversation: str) -> None:
        for delivery in [*self._users.get(user, ())]:
            if not self._reads(delivery, conversation):
                delivery.lost(conversation)

    def _hand_on(self, log: Followed, news: News) -> bool:
        """Offer the next change of a log, if all that this takes is at hand."""
        audience = self._audience(news)
        if news.entry is None or audience is None:
            return False
        users = self._connected(audience)
        outgoing = None
        if users:
            content = news.content if news.content is not None else self._opened(news.entry)
            if content is None:
                return False
            outgoing = Outgoing(self._event_of(news.entry, content))
        log.high = news.seq
        if outgoing is not None:
            for user in users:
                self._offer(user, outgoing, _comes_in(user, news))
        for user in news.gone:
            # Whoever follows since a later stay began stays.
            if user in self._users and self.interest.dealt_with(user, news.conversation) < news.seq:
                self.interest.unfollow(user, news.conversation)
                self.interest.mark_dealt_with(user, news.conversation, news.seq)
        return True

    def _audience(self, news: News) -> Collection[str] | None:
        if news.audience is not None:
            return news.audience
        roster = self._directory.known(news.conversation)
        if roster is None or roster.access != news.access:
            return None
        return {*roster.members, *news.gone} if news.gone else roster.members

    def _offer(self, user: str, outgoing: Outgoing[LogEvent], comes_in: bool) -> None:
        """Offer a change to all connections of one person, unless they have missed what came before it."""
        conversation = outgoing.event.conversation
        if outgoing.event.seq <= self.interest.dealt_with(user, conversation):
            return
        follows = comes_in or self.interest.follows(user, conversation)
        for delivery in [*self._users.get(user, ())]:
            if follows or self._reads(delivery, conversation):
                delivery.offer(outgoing)
            else:
                delivery.lost(conversation)
        if user in self._users:
            self.interest.follow(user, conversation, outgoing.event.seq)

    def _go_on(self, log: Followed) -> None:
        """Hand on what came before its turn and now is in it."""
        while log.early and self.interest.log(log.name) is log:
            news = log.early.pop(log.high + 1, None)
            if news is None or not self._hand_on(log, news):
                break
        if log.level:
            log.early = None
        self._want_unless_level(log)

    # -- what has to be read --

    def _want_unless_level(self, log: Followed) -> None:
        if not log.level and log.name not in self._wanting:
            self._wanting[log.name] = None
            self.wake()

    def check(self, conversations: Iterable[str]) -> None:
        """Have it read how far these logs have come, of those that are followed."""
        for conversation in conversations:
            log = self.interest.log(conversation)
            if log is not None:
                # Beyond what is being read already: that may have been before there was a reason to look.
                log.target = max(log.target, log.high) + 1
                self._want_unless_level(log)

    def gaps(self, limit: int) -> list[Gap]:
        """What has to be read first."""
        found: list[Gap] = []
        for conversation in [*self._wanting]:
            log = self.interest.log(conversation)
            if log is None or log.level:
                del self._wanting[conversation]
            elif len(found) < limit:
                found.append(Gap(conversation=conversation, seq=log.high, target=log.target))
        return found

    def fill(self, gap: Gap, tail: Tail | None, contents: Sequence[object], roster: Roster | None) -> None:
        """The log was read behind ``gap``: hand on what it holds. ``roster`` is no older than ``tail``.

        Without them the conversation is not there.
        """
        log = self.interest.log(gap.conversation)
        if log is None:
            return
        end = 0 if tail is None else tail.last_seq
        # The log's word counts, but for what was heard of since it was asked.
        log.target = max(log.high, end, log.target if log.target > gap.target else 0)
        if tail is None or roster is None or end <= log.high:
            return
        self._dismiss(log, roster)
        for user in self._connected(roster.members):
            if roster.members[user].since > log.high:
                # What they missed of an earlier stay is no longer theirs to see.
                self.interest.mark_dealt_with(user, log.name, roster.members[user].since)
        following = [one for one in zip(tail.entries, contents, strict=True) if one[0].seq > log.high]
        if end - log.high > LONGEST_GAP or (following and following[0][0].seq != log.high + 1):
            self._lose_all(log, end)
        for entry, content in following:
            if entry.seq == log.high + 1 and self.interest.log(log.name) is log:
                self._hand_on_read(log, entry, content, roster)
        self._go_on(log)

    def _hand_on_read(self, log: Followed, entry: Entry, content: object, roster: Roster) -> None:
        outgoing = Outgoing(self._event_of(entry, content))
        log.high = entry.seq
        for user in self._connected(roster.members):
            since = roster.members[user].since
            if since < entry.seq:
                self._offer(user, outgoing, entry.seq == since + 1)

    def _dismiss(self, log: Followed, roster: Roster) -> None:
        """Whoever is no longer a member may still have to see a part of what was read: it is stale for them.

        Of those whose positions are being read only these will say whether they ever were one.
        """
        for delivery, gathering in [*self._gathering.items()]:
            if gathering.user in roster.members or not self._reads(delivery, log.name):
                continue
            if delivery.phase is Phase.GATHERING:
                gathering.dismissed.add(log.name)
            else:
                delivery.lost(log.name)
        following = sum(self.interest.follows(user, log.name) for user in self._connected(roster.members))
        if following < log.followers:
            for user in self.interest.followers(log.name):
                if user not in roster.members:
                    self._lose(user, log.name)
                    self.interest.unfollow(user, log.name)

    def give_up(self, gap: Gap) -> None:
        """The log cannot be read on for all: each has to."""
        log = self.interest.log(gap.conversation)
        if log is not None:
            self._lose_all(log, max(log.target, gap.target))

    def _lose_all(self, log: Followed, seq: int) -> None:
        for user in self.interest.followers(log.name):
            self._lose(user, log.name)
        log.high = log.base = seq
        log.target = max(log.target, seq)
        log.early = None

    def reached(self, reaches: Iterable[Reach]) -> None:
        """So far had these logs come when they were looked at; whoever missed that learns of it."""
        for reach in reaches:
            log, deliveries = self.interest.log(reach.conversation), self._users.get(reach.user)
            if not deliveries or reach.last_seq <= reach.since:
                continue
            if not reach.present:
                if self.interest.follows(reach.user, reach.conversation):
                    self.check([reach.conversation])
                elif self.interest.dealt_with(reach.user, reach.conversation) < reach.last_seq:
                    self._missed_a_stay(reach)
                continue
            live = any(one.phase is Phase.LIVE for one in deliveries)
            if live and not self.interest.follows(reach.user, reach.conversation):
                log = self._missed_how_they_came(reach, log)
            if log is None:
                self.interest.pass_by(reach.conversation, reach.last_seq)
            else:
                log.target = max(log.target, reach.last_seq)
                self._want_unless_level(log)

    def _missed_how_they_came(self, reach: Reach, log: Followed | None) -> Followed:
        new = (log is None or not log.high) and not self.interest.dealt_with(reach.user, reach.conversation)
        if new and reach.last_seq <= SHORT_LOG:
            return self.interest.follow(reach.user, reach.conversation, 0)
        log = self.interest.follow(reach.user, reach.conversation, reach.last_seq)
        self._lose(reach.user, reach.conversation)
        return log

    def _missed_a_stay(self, reach: Reach) -> None:
        """Somebody came and went, and nothing was heard of it. Those whose positions are being read are asked later."""
        self._lose(reach.user, reach.conversation)
        if not any(self._reads(one, reach.conversation) for one in self._users[reach.user]):
            self.interest.mark_dealt_with(reach.user, reach.conversation, reach.last_seq)

    @property
    def users(self) -> list[str]:
        """Everybody who is connected here."""
        return [*self._users]

    def _connected(self, people: Collection[str]) -> list[str]:
        """Of these people, those who are connected: at the cost of those or of all, whichever are less."""
        users = self._users
        if len(people) <= len(users):
            return [user for user in people if user in users]
        return [user for user in users if user in people]


def _comes_in(user: str, news: News) -> bool:
    """Whether this is the first of its log that ``user`` may see."""
    return news.seq == 1 or user in news.came


def _keep_early(log: Followed, news: News) -> None:
    if news.entry is not None and log.early is None:
        log.early = {}
    if news.entry is not None and log.early is not None and len(log.early) < EARLY_NEWS:
        log.early[news.seq] = news


def _nobody_reads() -> None:
    """Before there is anything to read with, nobody is connected."""
