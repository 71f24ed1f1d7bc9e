"""Listing and ending one's devices."""

import pytest

from chatd.errors import Conflict, Forbidden
from chatd.handlers.devices import DeviceEnded, OtherDevicesEnded
from chatd.records.devices import Sighting, TokensRevoked
from tests.kit.at_once import at_once
from tests.kit.world import Asker, Chat


def shown(chat: Chat, user: str, device: str) -> None:
    sighting = Sighting(user=user, device=device, token_id=f"token-of-{user}-on-{device}", expires_at=4e9)
    at_once(chat.stores.devices.note(sighting))


def names(who: Asker) -> list[tuple[str, bool]]:
    return [(device.device, device.current) for device in who.ask("device.list").devices]


def revoked(chat: Chat) -> list[tuple[str | None, str | None, str | None]]:
    return [(one.device, one.token_id, one.spared) for one in at_once(chat.stores.devices.revocations())]


def test_a_person_sees_their_own_devices(chat: Chat, alice: Asker, bob: Asker) -> None:
    for user, device in (("alice", "tablet"), ("alice", "phone"), ("bob", "watch")):
        shown(chat, user, device)
    assert names(alice) == [("phone", True), ("tablet", False)]
    assert names(bob) == [("watch", False)]


def test_an_ended_device_is_told_to_all_and_every_worker_looks(chat: Chat, alice: Asker) -> None:
    shown(chat, "alice", "tablet")
    signals: list[object] = []
    chat.exchange.listen(TokensRevoked, signals.append)
    listener = chat.connect("alice", "laptop")
    place = alice.ask("device.end", client_id="e", device="tablet")
    assert (place.conversation, place.seq) == (alice.queue, 1)
    assert [event.device for event in listener.of(DeviceEnded)] == ["tablet"]
    assert names(alice) == []
    assert revoked(chat) == [("tablet", None, None), (None, "token-of-alice-on-tablet", None)]
    assert signals == [TokensRevoked()]


def test_the_same_ending_again_gets_the_first_reply(chat: Chat, alice: Asker) -> None:
    shown(chat, "alice", "tablet")
    first = alice.ask("device.end", client_id="e", device="tablet")
    shown(chat, "alice", "tablet")
    assert alice.ask("device.end", client_id="e", device="tablet") == first
    assert names(alice) == [("tablet", False)]
    with pytest.raises(Conflict):
        alice.ask("device.end", client_id="e", device="watch")
    with pytest.raises(Conflict):
        alice.ask("device.end_others", client_id="e")


def test_a_device_that_ends_itself_spares_nothing(chat: Chat, alice: Asker) -> None:
    shown(chat, "alice", "phone")
    alice.ask("device.end", client_id="e", device="phone")
    assert revoked(chat) == [("phone", None, None), (None, "token-of-alice-on-phone", None)]


def test_all_others_are_ended_at_once(chat: Chat, alice: Asker) -> None:
    for device in ("phone", "tablet", "watch"):
        shown(chat, "alice", device)
    shown(chat, "bob", "watch")
    listener = chat.connect("alice", "laptop")
    alice.ask("device.end_others", client_id="e")
    assert [event.kept for event in listener.of(OtherDevicesEnded)] == ["phone"]
    assert names(alice) == [("phone", True)]
    assert names(chat.http("bob", "watch")) == [("watch", True)]
    assert revoked(chat) == [(None, None, "token-of-alice-on-phone")]


def test_a_token_without_a_name_cannot_be_told_from_the_others(chat: Chat, alice: Asker) -> None:
    alice.token_id = None
    with pytest.raises(Forbidden):
        alice.ask("device.end_others", client_id="e")
    assert revoked(chat) == []
    alice.ask("device.end", client_id="e", device="tablet")


def test_whose_key_is_gone_is_not_told_which_device(chat: Chat, alice: Asker) -> None:
    alice.ask("device.end", client_id="e", device="tablet")
    alice.ask("device.end_others", client_id="o")
    later = Chat(chat.database)
    chat.database.keys.clear()
    events = later.http("alice").ask("sync").events
    assert [(event.unreadable, event.__struct_config__.tag) for event in events] == [
        (True, "device.ended"),
        (True, "device.others_ended"),
    ]
