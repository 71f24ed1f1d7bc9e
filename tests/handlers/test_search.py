"""Searching, as those see it who search, and as the index does that knows no words."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from chatd.errors import Disabled, Invalid, NotFound
from chatd.handlers import search as searching
from chatd.handlers.search import Highlight
from chatd.settings.model import Search
from chatd.state.ids import direct, event_queue
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import OTHER_MASTERS, Asker, Chat, altered

OURS = direct("alice", "bob")
ON = Search(enabled=True)


@pytest.fixture
def chat() -> Chat:
    return Chat(search=ON, max_text_chars=10_000)


def search(who: Asker, query: str, **fields: Any) -> list[Any]:
    """All that is found, page by page."""
    found, cursor = [], None
    for _ in range(1000):
        page = who.ask("message.search", query=query, cursor=cursor, **fields)
        found += page.messages
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("the search does not come to an end")


def texts(who: Asker, query: str, **fields: Any) -> list[str]:
    return [message.text for message in search(who, query, **fields)]


def change(who: Asker, name: str, seq: int, **fields: Any) -> Any:
    return who.ask(name, conversation=OURS, seq=seq, client_id=new_client_id(), **fields)


def tokens_of(chat: Chat, conversation: str = OURS) -> dict[int, frozenset[int]]:
    return chat.database.logs[conversation].tokens


def test_whole_words_are_found_in_any_case_and_with_or_without_accents(alice: Asker, bob: Asker) -> None:
    sent = alice.send("Meet me at the Café, tomorrow!", to="bob")
    for query in ("cafe", "CAFÉ tomorrow", '"the cafe"', "meet"):
        [found] = search(bob, query)
        assert (found.conversation, found.seq, found.message_id) == (OURS, 1, sent.message_id)
        assert (found.sender, found.time, found.edited_at) == ("alice", sent.time, None)
    for query in ("caf", "cafe today", '"cafe the"'):
        assert search(bob, query) == []


def test_what_was_looked_for_is_highlighted_in_code_points(alice: Asker) -> None:
    alice.send("\U0001f600 hi you, hi You there", to="bob")
    [found] = search(alice, '"hi you" there')
    assert found.highlights == [Highlight(start=2, end=8), Highlight(start=10, end=16), Highlight(start=17, end=22)]
    assert found.text[2:8] == "hi you"


def test_scripts_without_spaces_are_found_by_their_syllables(alice: Asker) -> None:
    alice.send("我的猫在睡觉", to="bob")
    alice.send("กินข้าวหรือยัง", to="bob")
    for query in ("猫", "的猫", "睡觉", "ข้าว"):
        assert len(search(alice, query)) == 1
    assert search(alice, "猫的") == []


def test_all_conversations_are_searched_the_newest_first(chat: Chat, alice: Asker, bob: Asker) -> None:
    for n in range(9):
        alice.send(f"news {n}", to=("bob", "carol", "alice")[n % 3])
    chat.http("carol").send("news of bob and me", to="bob")
    assert texts(alice, "news") == [f"news {n}" for n in reversed(range(9))]
    assert texts(alice, "news", limit=2) == [f"news {n}" for n in reversed(range(9))]
    assert texts(alice, "news", conversation=OURS) == ["news 6", "news 3", "news 0"]
    assert texts(bob, "news") == ["news of bob and me", "news 6", "news 3", "news 0"]
    assert texts(chat.http("eve"), "news") == []


def test_pages_go_on_where_they_ended(alice: Asker) -> None:
    for n in range(5):
        alice.send(f"news {n}", to="bob")
    first = alice.ask("message.search", query="news", limit=2)
    alice.send("news 5", to="bob")
    second = alice.ask("message.search", query="news", limit=2, cursor=first.next)
    third = alice.ask("message.search", query="news", limit=2, cursor=second.next)
    pages = [[message.text for message in page.messages] for page in (first, second, third)]
    assert pages == [["news 4", "news 3"], ["news 2", "news 1"], ["news 0"]]
    assert third.next is None


def test_a_search_may_be_narrowed(alice: Asker, bob: Asker) -> None:
    sent = [who.send("news", to=to) for who, to in ((alice, "bob"), (bob, "alice"), (alice, "bob"))]
    seqs = lambda **fields: [message.seq for message in search(alice, "news", **fields)]  # noqa: E731
    assert seqs(sender="alice") == [3, 1]
    assert seqs(sender="eve") == []
    assert seqs(after=sent[0].time.isoformat()) == [3, 2]
    assert seqs(before=sent[2].time.isoformat()) == [2, 1]
    assert seqs(before=sent[2].time.isoformat(), after=sent[0].time.isoformat(), limit=1) == [2]
    tokyo = sent[1].time + timedelta(hours=9)
    assert seqs(after=tokyo.isoformat().replace("+00:00", "+09:00")) == [3]


def test_an_edit_is_found_by_what_it_says_now(alice: Asker) -> None:
    alice.send("helo world", to="bob")
    edit = change(alice, "message.edit", 1, text="hello world")
    assert search(alice, "helo") == []
    [found] = search(alice, "hello")
    assert (found.seq, found.text, found.edited_at) == (1, "hello world", edit.time)


def test_what_is_deleted_leaves_nothing_to_be_found_by(chat: Chat, alice: Asker) -> None:
    alice.send("secret plan", to="bob")
    change(alice, "message.edit", 1, text="secret plot")
    change(alice, "message.delete", 1)
    assert search(alice, "secret") == []
    assert tokens_of(chat) == {}


def test_who_does_not_see_a_conversation_is_told_that_it_is_not_there(chat: Chat, alice: Asker) -> None:
    """Fault 59."""
    alice.send("news", to="bob")
    details = set()
    for conversation in (OURS, event_queue("bob"), new_id()):
        with pytest.raises(NotFound) as caught:
            chat.http("eve").ask("message.search", query="news", conversation=conversation)
        details.add(caught.value.detail)
    assert len(details) == 1


def test_equal_words_have_equal_hashes_within_one_conversation_only(chat: Chat, alice: Asker) -> None:
    for to in ("bob", "bob", "carol"):
        alice.send("the same words", to=to)
    tokens = tokens_of(chat)
    assert tokens[1] == tokens[2]
    assert len(tokens[1]) == 3
    assert tokens[1].isdisjoint(tokens_of(chat, direct("alice", "carol"))[1])


def test_the_order_of_words_is_not_told(chat: Chat, alice: Asker) -> None:
    drafts: list[Any] = []
    append = chat.log.append

    async def recording(batch: Any) -> Any:
        drafts.extend(batch)
        return await append(batch)

    chat.log.append = recording  # type: ignore[method-assign]
    alice.send("one two three four five six seven", to="bob")
    alice.send("seven six five four three two one", to="bob")
    assert len(drafts[0].tokens) == 7
    assert drafts[0].tokens == drafts[1].tokens == tuple(sorted(drafts[0].tokens))


def test_another_servers_hashes_are_others(chat: Chat, alice: Asker) -> None:
    other = Chat(search=ON, masters=OTHER_MASTERS)
    other.http("alice").send("news", to="bob")
    alice.send("news", to="bob")
    assert tokens_of(chat)[1].isdisjoint(tokens_of(other)[1])


def test_another_worker_finds_what_this_one_has_written(chat: Chat, alice: Asker) -> None:
    alice.send("news", to="bob")
    other = Chat(chat.database, search=ON)
    assert texts(other.http("bob"), "news") == ["news"]


def test_the_first_words_of_a_long_message_are_found(chat: Chat) -> None:
    short = Chat(chat.database, search=Search(enabled=True, max_tokens=16), max_text_chars=1000)
    alice = short.http("alice")
    alice.send(" ".join(f"w{n}" for n in range(20)), to="bob")
    assert len(search(alice, "w15 w0")) == 1
    assert search(alice, "w16") == search(alice, "w0 w16") == []


def test_what_cannot_be_opened_is_not_found(chat: Chat, alice: Asker) -> None:
    alice.send("news a", to="bob")
    alice.send("news b", to="bob")
    chat.entries(OURS)[0] = altered(chat.entries(OURS)[0])
    assert texts(alice, "news") == ["news b"]
    assert len(chat.unreadable) == 1


def test_hashes_that_happen_to_be_equal_find_nothing(chat: Chat, alice: Asker) -> None:
    alice.send("apple", to="bob")
    alice.send("banana", to="bob")
    tokens = tokens_of(chat)
    tokens[2] = tokens[1] | tokens[2]
    assert texts(alice, "apple") == ["apple"]


# -- bounds --


def test_a_rare_phrase_of_common_words_takes_several_pages_and_is_found(
    alice: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "OPENED", 5)
    alice.send("to be", to="bob")
    for _ in range(12):
        alice.send("be to", to="bob")
    page = alice.ask("message.search", query='"to be"')
    assert page.messages == []
    assert page.next is not None
    assert texts(alice, '"to be"') == ["to be"]


def test_a_page_of_phrases_is_no_longer_than_was_asked_for(alice: Asker) -> None:
    for n in range(5):
        alice.send(f"to be {n}", to="bob")
    page = alice.ask("message.search", query='"to be"', limit=2)
    assert [message.text for message in page.messages] == ["to be 4", "to be 3"]
    assert texts(alice, '"to be"', limit=2) == [f"to be {n}" for n in reversed(range(5))]


def test_many_conversations_are_searched_some_at_a_time(
    chat: Chat, alice: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here three at once, or one for a query of two words."""
    monkeypatch.setattr(searching, "PROBES", 3)
    for n in range(14):
        alice.send(f"news {n}", to=f"bob-{n % 7}")
    for query in ("news", "news 3"):
        for limit in (1, 2, 20):
            found = texts(alice, query, limit=limit)
            assert sorted(found) == sorted(f"news {n}" for n in range(14) if query == "news" or n == 3)
    ids = sorted(direct("alice", f"bob-{n}") for n in range(7))
    first = alice.ask("message.search", query="news")
    assert {message.conversation for message in first.messages} == set(ids[:3])


def test_conversations_that_begin_in_the_middle_of_a_search_hide_nothing_and_repeat_nothing(
    alice: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three at once: into each part of the search come some more, at most as many as there were."""
    monkeypatch.setattr(searching, "PROBES", 3)
    for n in range(12):
        alice.send(f"old {n}", to=f"bob-{n % 6}")
    page = alice.ask("message.search", query="old", limit=1)
    found = [message.text for message in page.messages]
    for n in range(6, 9):
        alice.send(f"old {2 * n}", to=f"bob-{n}")
    while page.next is not None:
        page = alice.ask("message.search", query="old", limit=1, cursor=page.next)
        found += [message.text for message in page.messages]
    assert len(found) == len(set(found))
    assert set(found) >= {f"old {n}" for n in range(12)}


# -- what is refused --


@pytest.mark.parametrize(
    "cursor", ["x", "AAAA", "kw", "k8DAwA", "gA", "lAEBAQE", "k6N4eHjAwA", "k8DAk6N4eHgBAQ", "----", ""]
)
def test_a_cursor_that_is_none_is_refused(alice: Asker, cursor: str) -> None:
    alice.send("news", to="bob")
    with pytest.raises(Invalid, match="`cursor` is none"):
        alice.ask("message.search", query="news", cursor=cursor)


@pytest.mark.parametrize("query", ["...", '"a', " ".join("abcdefghijklmnopqrs")])
def test_a_query_that_asks_for_nothing_or_too_much_is_refused(alice: Asker, query: str) -> None:
    with pytest.raises(Invalid, match="`query`"):
        alice.ask("message.search", query=query)


@pytest.mark.parametrize("fields", [{"after": "2026-01-01T00:00:00"}, {"before": "yesterday"}, {"limit": 0}])
def test_times_know_their_zone_and_limits_their_range(alice: Asker, fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(fields))):
        alice.ask("message.search", query="a", **fields)


# -- switched off --


def test_a_server_that_does_not_offer_it_says_so_and_keeps_no_hashes() -> None:
    chat = Chat()
    alice = chat.http("alice")
    alice.send("news", to="bob")
    for fields in ({}, {"conversation": OURS}, {"conversation": new_id()}):
        with pytest.raises(Disabled, match="turned off") as caught:
            alice.ask("message.search", query="news", **fields)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("disabled", 501, False)
    assert tokens_of(chat) == {1: frozenset()}


def test_what_was_written_while_it_was_on_can_still_be_deleted_when_it_is_off(chat: Chat, alice: Asker) -> None:
    alice.send("news a", to="bob")
    alice.send("news b", to="bob")
    off = Chat(chat.database)
    change(off.http("alice"), "message.delete", 1)
    change(off.http("alice"), "message.edit", 2, text="c")
    assert tokens_of(chat) == {2: frozenset()}
    assert texts(alice, "news") == []
