"""The product's back end revokes tokens of anybody, and nobody else does."""

import pytest

from chatd.errors import Conflict, Forbidden, Invalid, Unchanged
from chatd.handlers.tokens import Revoked
from chatd.records.devices import Sighting, TokensRevoked
from chatd.security.scopes import ACT, REVOKE
from tests.kit.at_once import at_once
from tests.kit.world import NOON, Asker, Chat

NOW = NOON.timestamp()
TOKEN = "token-of-alice-on-phone"


@pytest.fixture
def service(chat: Chat) -> Asker:
    service = chat.http("back-end")
    service.scopes = frozenset({REVOKE})
    return service


def revoked(chat: Chat):
    found = at_once(chat.stores.devices.revocations())
    return [(one.user, one.device, one.token_id, one.issued_until, one.kept_until - NOW) for one in found]


KEPT = 2_592_000.0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"token": TOKEN}, (None, TOKEN, NOW, 4e9 - NOW)),
        ({"user": "alice", "token_id": "t9"}, (None, "t9", NOW, KEPT)),
        ({"user": "alice", "device": "tablet"}, ("tablet", None, NOW, KEPT)),
        ({"user": "alice", "issued_until": 1000}, (None, None, 1000.0, KEPT)),
        ({"user": "alice"}, (None, None, NOW, KEPT)),
    ],
)
def test_tokens_are_revoked_and_their_person_and_every_worker_told(fields, expected, chat, service):
    signals = []
    chat.exchange.listen(TokensRevoked, signals.append)
    listener, bystander = chat.connect("alice", "laptop"), chat.connect("bob")
    place = service.ask("token.revoke", client_id="1", **fields)
    assert (place.conversation, place.seq) == (listener.queue, 1)
    assert revoked(chat) == [("alice", *expected)]
    assert signals == [TokensRevoked()]
    [event] = listener.of(Revoked)
    told = {name: getattr(event, name) for name in ("device", "token_id", "issued_until")}
    wanted = {"token_id": TOKEN} if "token" in fields else {name: fields[name] for name in fields if name != "user"}
    assert {name: value for name, value in told.items() if value is not None} == wanted
    assert bystander.of(Revoked) == []


def test_the_devices_of_a_person_whose_tokens_are_all_revoked_are_gone(chat, service):
    for user, device in (("alice", "phone"), ("alice", "tablet"), ("bob", "phone")):
        at_once(chat.stores.devices.note(Sighting(user=user, device=device, token_id="t", expires_at=4e9)))
    service.ask("token.revoke", client_id="1", user="alice")
    assert chat.http("alice").ask("device.list").devices == []
    assert [one.device for one in chat.http("bob").ask("device.list").devices] == ["phone"]


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({ACT})])
def test_it_takes_the_scope(scopes, chat, service):
    service.scopes = scopes
    with pytest.raises(Forbidden, match="chatd:revoke"):
        service.ask("token.revoke", client_id="1", user="back-end")
    assert revoked(chat) == []


def test_the_same_again_gets_the_first_reply_and_anything_else_a_conflict(chat, service):
    first = service.ask("token.revoke", client_id="1", user="alice")
    assert service.ask("token.revoke", client_id="1", user="alice") == first
    for other in ({"user": "bob"}, {"user": "alice", "device": "phone"}, {"user": "alice", "token_id": "t"}):
        with pytest.raises(Conflict):
            service.ask("token.revoke", client_id="1", **other)
    assert len(revoked(chat)) == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "either `token` or `user`"),
        ({"token": TOKEN, "user": "alice"}, "either `token` or `user`"),
        ({"token": TOKEN, "device": "phone"}, "leave `device` out"),
        ({"user": "alice", "device": "phone", "token_id": "t"}, "one of `token_id` and `device`"),
        ({"user": "alice", "issued_until": 1, "token_id": "t"}, "one of `token_id` and `issued_until`"),
        ({"user": "alice", "issued_until": int(NOW) + 1}, "still to come"),
    ],
)
def test_what_says_two_things_or_nothing_is_refused(fields, problem, chat, service):
    with pytest.raises(Invalid, match=problem):
        service.ask("token.revoke", client_id="1", **fields)
    assert revoked(chat) == []


def test_a_token_that_nobody_takes_need_not_be_revoked(chat, service):
    with pytest.raises(Unchanged):
        service.ask("token.revoke", client_id="1", token="nonsense")
    assert revoked(chat) == []


def test_a_token_without_a_name_is_revoked_by_its_issue_time(chat, service):
    with pytest.raises(Invalid, match="issued_until"):
        service.ask("token.revoke", client_id="1", token="token-of-alice-on-")
    assert revoked(chat) == []


def test_whoever_missed_it_reads_it_later(chat, service):
    service.ask("token.revoke", client_id="1", user="alice", device="tablet")
    late = chat.connect("alice", synced=False)
    late.ask("sync")
    assert [event.device for event in late.of(Revoked)] == ["tablet"]
