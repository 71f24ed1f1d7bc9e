"""The whole of chatd against a model of its rules: people, their devices, and one command after the other.

Wrong and forbidden commands are made too; the model says which error each gets. After every command whoever is
connected has every event; in the end everything that anybody may read is as the model has it.
"""

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.kit.likely import likely
from tests.kit.lives import finish, live
from tests.kit.machine import DEVICES, NOWHERE, PAST, PEOPLE, Device, Machine, new_chat
from tests.kit.model_talk import RANKS
from tests.kit.world import NOON

WHO = st.integers(0, len(PEOPLE) - 1)
"""People by number, so that they may have other names in another store."""

DEVICE = st.sampled_from(DEVICES)
NUMBER = st.integers(0, 40)
TEXT = st.text("abc \u00e9\U0001f600", min_size=1, max_size=8)
EMOJI = st.sampled_from(["\U0001f44d", "\u2764\ufe0f", "\U0001f389", "\U0001f600", "x"])
LEAST = st.sampled_from(RANKS)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "posting": LEAST,
        "inviting": LEAST,
        "editing": LEAST,
        "joining": st.sampled_from(["invitation", "request", "open"]),
        "history": st.sampled_from(["joined", "all"]),
    },
)
UNTIL = st.sampled_from([PAST, NOON + timedelta(hours=1), NOON + timedelta(days=30)])
FEW = st.lists(WHO, max_size=3)


class Everybody(RuleBasedStateMachine):
    """All that anybody may do."""

    def make(self) -> Machine:
        return Machine(new_chat())

    @initialize(rules=RULES, role=LEAST)
    def begin(self, rules: dict[str, str], role: str) -> None:
        """Everybody's phone is connected; alice has written to bob, and has founded a group, without dave."""
        self.machine = self.make()
        for who in range(len(PEOPLE)):
            self.machine.connect(self._device(who, "phone"))
        self._do(0, "phone", "group.create", title="Choir", members=self._people([1, 2]), rules=rules)
        if role != "member":
            self._do(0, "phone", "member.role", conversation="group 1", user=self._person(1), role=role)
        self._do(0, "phone", "message.send", conversation="group 1", text="welcome")
        self._do(0, "phone", "message.send", to=self._person(1), text="hi")

    # -- how what is drawn is understood --

    def _person(self, who: int) -> str:
        return self.machine.people[who]

    def _people(self, some: list[int]) -> list[str]:
        return [self._person(who) for who in some]

    def _device(self, who: int, device: str) -> Device:
        return self.machine.devices[self._person(who), device]

    def _place(self, who: int, number: int) -> str:
        """A log: mostly a group or a conversation of theirs, now and then another's or none."""
        mine = self._person(who)
        groups = [name for name in self.machine.model.logs if name.startswith("group")]
        directs = ["+".join(sorted((mine, other))) for other in self.machine.people]
        others = "+".join(sorted(self._person(one % len(PEOPLE)) for one in (who + 1, who + 2)))
        places = ["group 1", "group 1", *groups, *directs, NOWHERE, f"queue of {mine}", others, "group 1"]
        return places[number % len(places)]

    def _seq(self, place: str, number: int) -> int:
        """Mostly a message of that log; now and then another change, or nothing."""
        log = self.machine.model.logs.get(place)
        seqs = [] if log is None else list(log.messages)
        if number % 8 == 0 or not seqs:
            return number + 1
        return seqs[number % len(seqs)]

    def _do(self, who: int, device: str, name: str, /, **fields: Any) -> None:
        self.machine.do(self._device(who, device), name, **fields)

    @rule(seed=st.integers(0, 2**32), device=DEVICE)
    def act(self, seed: int, device: str) -> None:
        """A few things that are likely to be allowed, as what was done before lets them be."""
        chance = Random(seed)
        for _ in range(4):
            user, name, fields = likely(self.machine.model, self.machine.people, chance)
            self.machine.do(self.machine.devices[user, device], name, **fields)

    # -- messages --

    @rule(who=WHO, device=DEVICE, to=WHO, text=TEXT)
    def send_to(self, who: int, device: str, to: int, text: str) -> None:
        self._do(who, device, "message.send", to=self._person(to), text=text)

    @rule(who=WHO, device=DEVICE, place=NUMBER, text=TEXT, mentions=FEW, reply=st.none() | NUMBER)
    def send(self, who: int, device: str, place: int, text: str, mentions: list[int], reply: int | None) -> None:
        where = self._place(who, place)
        if where.startswith("queue"):
            mentions = []
        seq = None if reply is None else self._seq(where, reply)
        named = self._people(mentions)
        self._do(who, device, "message.send", conversation=where, text=text, mentions=named, reply_to=seq)

    @rule(who=WHO, device=DEVICE)
    def send_nowhere(self, who: int, device: str) -> None:
        self._do(who, device, "message.send", text="to nobody")

    @rule(who=WHO, device=DEVICE, place=NUMBER, text=TEXT, must_read=st.booleans())
    def announce(self, who: int, device: str, place: int, text: str, must_read: bool) -> None:
        where = self._place(who, place)
        self._do(who, device, "announcement.post", conversation=where, text=text, must_read=must_read)

    @rule(who=WHO, device=DEVICE, place=NUMBER, number=NUMBER)
    def confirm(self, who: int, device: str, place: int, number: int) -> None:
        where = self._place(who, place)
        self._do(who, device, "announcement.read", conversation=where, seq=self._seq(where, number))

    @rule(who=WHO, device=DEVICE, place=NUMBER, number=NUMBER, text=TEXT, mentions=FEW)
    def edit(self, who: int, device: str, place: int, number: int, text: str, mentions: list[int]) -> None:
        where = self._place(who, place)
        if where.startswith("queue"):
            mentions = []
        seq, named = self._seq(where, number), self._people(mentions)
        self._do(who, device, "message.edit", conversation=where, seq=seq, text=text, mentions=named)

    @rule(
        who=WHO,
        device=DEVICE,
        place=NUMBER,
        number=NUMBER,
        name=st.sampled_from(["message.delete", "message.hide", "message.pin", "message.unpin"]),
    )
    def revise(self, who: int, device: str, place: int, number: int, name: str) -> None:
        where = self._place(who, place)
        self._do(who, device, name, conversation=where, seq=self._seq(where, number))

    @rule(
        who=WHO,
        device=DEVICE,
        place=NUMBER,
        number=NUMBER,
        emoji=EMOJI,
        name=st.sampled_from(["reaction.add", "reaction.add", "reaction.remove"]),
    )
    def react(self, who: int, device: str, place: int, number: int, emoji: str, name: str) -> None:
        where = self._place(who, place)
        self._do(who, device, name, conversation=where, seq=self._seq(where, number), emoji=emoji)

    @rule(who=WHO, device=DEVICE, place=NUMBER, number=NUMBER, to=WHO, into=NUMBER, how=st.integers(0, 8))
    def forward(self, who: int, device: str, place: int, number: int, to: int, into: int, how: int) -> None:
        where = self._place(who, place)
        self._do(
            who,
            device,
            "message.forward",
            conversation=where,
            seq=self._seq(where, number),
            to=self._person(to) if how % 2 == 0 else None,
            into=self._place(who, into) if how > 4 else None,
        )

    # -- what people have of conversations --

    @rule(who=WHO, device=DEVICE, place=NUMBER, back=st.integers(-2, 3), private=st.booleans())
    def read(self, who: int, device: str, place: int, back: int, private: bool) -> None:
        where = self._place(who, place)
        log = self.machine.model.logs.get(where)
        seq = max((0 if log is None else log.end) - back, 0)
        self._do(who, device, "read", conversation=where, seq=seq, private=private)

    @rule(
        who=WHO,
        device=DEVICE,
        place=NUMBER,
        name=st.sampled_from(
            [
                *("conversation.mute", "conversation.unmute", "conversation.archive", "conversation.unarchive"),
                *("reading.hide", "reading.show"),
            ]
        ),
    )
    def set(self, who: int, device: str, place: int, name: str) -> None:
        self._do(who, device, name, conversation=self._place(who, place))

    @rule(who=WHO, device=DEVICE, place=NUMBER, until=UNTIL)
    def mute(self, who: int, device: str, place: int, until: Any) -> None:
        self._do(who, device, "conversation.mute", conversation=self._place(who, place), until=until)

    # -- people --

    @rule(
        who=WHO,
        device=DEVICE,
        other=WHO,
        name=st.sampled_from(["user.follow", "user.unfollow", "user.block", "user.unblock", "user.unblock"]),
    )
    def relate(self, who: int, device: str, other: int, name: str) -> None:
        self._do(who, device, name, user=self._person(other))

    # -- groups --

    @precondition(lambda self: "group 3" not in self.machine.model.logs)
    @rule(who=WHO, device=DEVICE, title=TEXT, members=FEW, rules=RULES)
    def found(self, who: int, device: str, title: str, members: list[int], rules: dict[str, str]) -> None:
        self._do(who, device, "group.create", title=title, members=self._people(members), rules=rules)

    @rule(who=WHO, device=DEVICE, place=NUMBER, title=st.none() | TEXT, rules=RULES)
    def update(self, who: int, device: str, place: int, title: str | None, rules: dict[str, str]) -> None:
        self._do(who, device, "group.update", conversation=self._place(who, place), title=title, rules=rules)

    @rule(who=WHO, device=DEVICE, place=NUMBER, users=st.lists(WHO, min_size=1, max_size=2))
    def add(self, who: int, device: str, place: int, users: list[int]) -> None:
        self._do(who, device, "member.add", conversation=self._place(who, place), users=self._people(users))

    @rule(
        who=WHO,
        device=DEVICE,
        place=NUMBER,
        name=st.sampled_from(
            [
                *("member.leave", "invitation.accept", "invitation.accept", "invitation.decline"),
                *("join.request", "join.request", "join.cancel"),
            ]
        ),
    )
    def come_or_go(self, who: int, device: str, place: int, name: str) -> None:
        self._do(who, device, name, conversation=self._place(who, place))

    @rule(
        who=WHO,
        device=DEVICE,
        place=NUMBER,
        user=WHO,
        name=st.sampled_from(
            [
                *("group.transfer", "member.remove", "member.ban", "member.unban", "member.unmute"),
                *("invitation.send", "invitation.send", "invitation.revoke", "join.approve", "join.deny"),
            ]
        ),
    )
    def upon(self, who: int, device: str, place: int, user: int, name: str) -> None:
        self._do(who, device, name, conversation=self._place(who, place), user=self._person(user))

    @rule(who=WHO, device=DEVICE, place=NUMBER, user=WHO, role=LEAST)
    def assign(self, who: int, device: str, place: int, user: int, role: str) -> None:
        self._do(who, device, "member.role", conversation=self._place(who, place), user=self._person(user), role=role)

    @rule(
        who=WHO,
        device=DEVICE,
        place=NUMBER,
        user=WHO,
        until=UNTIL,
    )
    def silence(self, who: int, device: str, place: int, user: int, until: Any) -> None:
        self._do(who, device, "member.mute", conversation=self._place(who, place), user=self._person(user), until=until)

    @rule(who=WHO, device=DEVICE, place=NUMBER, sure=st.integers(0, 3))
    def close(self, who: int, device: str, place: int, sure: int) -> None:
        if sure == 0:
            self._do(who, device, "group.delete", conversation=self._place(who, place))

    # -- time, repeats and devices --

    @rule(hours=st.sampled_from([1, 2, 24 * 8]))
    def pass_time(self, hours: int) -> None:
        self.machine.chat.now += timedelta(hours=hours)
        self.machine.model.now = self.machine.chat.now

    @precondition(lambda self: self.machine.done)
    @rule(number=NUMBER, device=DEVICE)
    def again(self, number: int, device: str) -> None:
        self.machine.again(self.machine.done[-1 - number % len(self.machine.done)], device)

    @rule(who=WHO, device=DEVICE, acknowledged=st.booleans())
    def connect(self, who: int, device: str, acknowledged: bool) -> None:
        self.machine.connect(self._device(who, device), acknowledged=acknowledged)

    @rule(who=WHO, device=DEVICE)
    def disconnect(self, who: int, device: str) -> None:
        self.machine.disconnect(self._device(who, device))

    @rule(who=WHO, device=DEVICE, limit=st.integers(1, 10))
    def pull(self, who: int, device: str, limit: int) -> None:
        self.machine.pull(self._device(who, device), limit)

    @rule(who=WHO, device=DEVICE)
    def acknowledge(self, who: int, device: str) -> None:
        self.machine.acknowledge(self._device(who, device))

    @rule(who=WHO)
    def look_around(self, who: int) -> None:
        self.machine.compare(self._person(who))

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            finish(self.machine)


def test_whatever_people_do_chatd_and_the_model_agree() -> None:
    run_state_machine_as_test(Everybody, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


@pytest.mark.parametrize("seed", range(12))
def test_in_a_long_life_chatd_and_the_model_agree(seed: int) -> None:
    """Mostly what is allowed, so that much comes about."""
    live(Machine(new_chat()), Random(seed), 250)
