"""Groups, from the socket to PostgreSQL and back."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest

from tests.kit.clients import Client, Message
from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.stores import new_client_id
from tests.kit.talk import of, whole_history


@pytest.fixture
def carol(person: Callable[..., Person], server: Server) -> Person:
    return person("carol", server)


@pytest.fixture
def client(alice: Person) -> Iterator[Client]:
    with alice.connect() as client:
        client.sync()
        yield client


def ask(client: Client, name: str, group: str, **fields: object) -> Message:
    reply = client.ask(name, **{"conversation": group, "client_id": new_client_id(), **fields})
    assert reply["type"] == "ok", reply
    return reply


def code(client: Client, name: str, group: str, **fields: object) -> str:
    """How it is refused."""
    return str(client.ask(name, conversation=group, client_id=new_client_id(), **fields)["error"]["code"])


def found(client: Client, *members: Person, **fields: object) -> str:
    reply = client.ask(
        "group.create", client_id=new_client_id(), title="Choir", members=[one.name for one in members], **fields
    )
    assert reply["type"] == "ok", reply
    return str(reply["conversation"])


def of_type(events: list[Message], name: str) -> list[Message]:
    return [event for event in events if event["type"] == name]


def test_a_group_is_founded_and_talks_while_some_are_away(
    client: Client, alice: Person, bob: Person, carol: Person
) -> None:
    with bob.connect(device="phone") as phone, bob.connect(device="tablet") as tablet:
        for device in (phone, tablet):
            device.sync()
        group = found(client, bob, carol, description="We sing")
        ask(client, "message.send", group, text=f"hello @{bob.name}", mentions=[bob.name])
        for device in (phone, tablet):
            live = sorted(device.events(3), key=lambda event: str(event["type"]))
            assert [event["type"] for event in live] == ["conversation.joined", "group.created", "message.created"]
            assert (live[0]["group"], live[0]["title"], live[2]["mentions"]) == (group, "Choir", [bob.name])
    with carol.connect() as late:
        events = late.sync()
        assert [event["type"] for event in of(group, events)] == ["group.created", "message.created"]
        [notice] = of_type(events, "conversation.joined")
        assert (notice["group"], notice["conversation"]) == (group, late.hello["queue"])
        ask(late, "message.send", group, text="here")
    assert [message["text"] for message in whole_history(client, group)] == [f"hello @{bob.name}", "here"]
    info = bob.http().get(f"/v1/groups/{group}").body
    assert (info["title"], info["description"], info["member_count"], info["role"]) == ("Choir", "We sing", 3, "member")
    members = bob.http().get(f"/v1/groups/{group}/members", limit=2).body
    assert ([one["user"] for one in members["members"]], members["next"]) == ([alice.name, bob.name], bob.name)
    rest = bob.http().get(f"/v1/groups/{group}/members", limit=2, after=members["next"]).body
    assert ([one["user"] for one in rest["members"]], rest["next"]) == ([carol.name], None)


def test_a_repeat_over_another_transport_gets_the_first_reply_and_other_content_a_conflict(
    client: Client, alice: Person, bob: Person
) -> None:
    ask_for = {"client_id": new_client_id(), "title": "Choir", "members": [bob.name]}
    first = client.ask("group.create", **ask_for)
    again = alice.http().post("/v1/groups", **ask_for)
    assert (again.status, again.body) == (200, {name: first[name] for name in ("conversation", "seq", "time")})
    other = alice.http().post("/v1/groups", **(ask_for | {"title": "Band"}))
    assert (other.status, other.body["code"]) == (409, "conflict")
    path = f"/v1/groups/{first['conversation']}/leave"
    left = bob.http().post(path, client_id="l")
    assert left.status == 200
    assert bob.http().post(path, client_id="l").body == left.body
    assert bob.http().post(path, client_id="m").status == 404


def test_who_is_removed_is_told_and_hears_nothing_more_and_resumes_to_there(
    client: Client, bob: Person, carol: Person
) -> None:
    group = found(client, bob, carol)
    with bob.connect(device="phone") as phone:
        phone.sync()
        ask(client, "message.send", group, text="before")
        assert phone.event()["text"] == "before"
        removed = ask(client, "member.remove", group, user=bob.name)
        told = {event["type"]: event for event in phone.events(2)}
        assert told["member.removed"]["seq"] == removed["seq"]
        assert (told["conversation.left"]["group"], told["conversation.left"]["reason"]) == (group, "removed")
        ask(client, "message.send", group, text="after")
        assert code(phone, "message.send", group, text="let me") == "not_found"
        assert phone.read_events() == []
    with bob.connect(device="tablet") as tablet:
        assert [event["seq"] for event in of(group, tablet.sync())] == [1, 2, removed["seq"]]
        assert [message["text"] for message in whole_history(tablet, group)] == ["before"]
        assert tablet.ask("group.get", conversation=group)["error"]["code"] == "not_found"


def test_an_invitation_waits_for_who_is_away_and_leads_in(client: Client, alice: Person, bob: Person) -> None:
    group = found(client)
    ask(client, "message.send", group, text="before")
    ask(client, "invitation.send", group, user=bob.name)
    with bob.connect() as guest:
        events = guest.sync()
        [invitation] = of_type(events, "invitation.sent")
        assert (invitation["group"], invitation["title"], invitation["by"]) == (group, "Choir", alice.name)
        assert of(group, events) == []
        [listed] = bob.http().get("/v1/invitations").body["invitations"]
        assert (listed["conversation"], listed["title"], listed["expires_at"]) == (
            *(group, "Choir", invitation["expires_at"]),
        )
        joined = ask(guest, "invitation.accept", group)
        assert (guest.event()["type"], joined["conversation"]) == ("member.joined", group)
        ask(client, "message.send", group, text="after")
        assert guest.event()["text"] == "after"
        assert [message["text"] for message in whole_history(guest, group)] == ["after"]
    assert bob.http().get("/v1/invitations").body == {"invitations": [], "next": None}


def test_a_request_to_join_is_decided_by_admins(client: Client, alice: Person, bob: Person, carol: Person) -> None:
    group = found(client, rules={"joining": "request"})
    path = f"/v1/groups/{group}/requests"
    for person in (bob, carol):
        assert person.http().post(path, client_id="r", text="let me in").body["joined"] is False
    requests = [event for event in client.events(3) if event["type"] == "join.requested"]
    assert [event["user"] for event in requests] == [bob.name, carol.name]
    listed = alice.http().get(path).body["requests"]
    assert [one["user"] for one in listed] == sorted([bob.name, carol.name])
    ask(client, "join.approve", group, user=bob.name)
    ask(client, "join.deny", group, user=carol.name)
    with carol.connect() as denied:
        assert [event["type"] for event in denied.sync()] == ["join.requested", "join.denied"]
    assert bob.http().post(path, client_id="r", text="let me in").body["joined"] is False
    assert bob.http().get(f"/v1/groups/{group}").body["role"] == "member"


def test_announcements_are_confirmed_and_counted(client: Client, alice: Person, bob: Person, carol: Person) -> None:
    group = found(client, bob, carol, rules={"posting": "admin"})
    with bob.connect() as reader:
        reader.sync()
        assert code(reader, "message.send", group, text="x") == "forbidden"
        seq = ask(client, "announcement.post", group, text="Friday", must_read=True)["seq"]
        event = reader.event()
        assert (event["type"], event["announcement"], event["must_read"]) == ("message.created", True, True)
        path = f"/v1/groups/{group}/announcements/{seq}"
        for _ in range(2):
            assert bob.http().post(f"{path}/read").status == 200
        assert reader.event() == {"type": "announcement.confirmed", "conversation": group, "seq": seq}
    page = alice.http().get(f"{path}/readers").body
    assert ([one["user"] for one in page["readers"]], page["read"], page["members"]) == ([bob.name], 1, 3)
    assert bob.http().get(f"{path}/readers").status == 403


def test_what_a_group_is_called_is_nowhere_in_the_database(client: Client, bob: Person, database: str) -> None:
    title = "A very secret choir"
    reply = client.ask("group.create", client_id=new_client_id(), title=title, members=[])
    ask(client, "invitation.send", reply["conversation"], user=bob.name)
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT sealed FROM chatd.changes")
        sealed = [bytes(row[0]) for row in cursor.fetchall()]
    assert sealed
    assert not any(title.encode() in one for one in sealed)
