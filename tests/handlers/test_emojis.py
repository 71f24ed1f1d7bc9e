"""What counts as an emoji."""

from unicodedata import category

import emoji
import pytest
import regex

from chatd.errors import Invalid
from chatd.handlers.emojis import check_emoji, mark_of
from chatd.security.sealing import AuthorKey

KEY = AuthorKey("", bytes(range(32)))
COMPONENT = emoji.STATUS["component"]
NOT_ONE_EMOJI = {
    "nothing": "",
    "a letter": "a",
    "a digit": "1",
    "a letter with an accent": "e\u0301",
    "two": "\U0001f44d\U0001f44d",
    "one and a space": "\U0001f44d ",
    "one and a line feed": "\U0001f44d\n",
    "a joiner at the end": "\U0001f44d\u200d",
    "a joiner at the beginning": "\u200d\U0001f44d",
    "a symbol that is no emoji": "\u2605",
    "the text form": "\u2764\ufe0e",
    "a skin tone alone": "\U0001f3fb",
    "a skin tone on a thing": "\U0001f355\U0001f3fb",
    "two skin tones": "\U0001f44d\U0001f3fb\U0001f3fb",
    "half a flag": "\U0001f1e9",
    "three halves of flags": "\U0001f1e9\U0001f1ea\U0001f1e9",
    "a flag joined to something": "\U0001f1e9\U0001f1ea\u200d\U0001f44d",
    "tags without an end": "\U0001f3f4\U000e0067\U000e0062",
    "the end of tags alone": "\U0001f3f4\U000e007f",
    "an unassigned character": "\u0378",
    "markup": "<b>",
}


def passes(text: str) -> bool:
    """For many of them: what pytest makes of each exception takes longer than the check."""
    try:
        check_emoji(text)
    except Invalid:
        return False
    return True


@pytest.mark.parametrize(
    "status", [status for status in emoji.STATUS if status != "component"], ids=lambda status: status
)
def test_every_emoji_of_unicode_is_one(status: str) -> None:
    """However much of it a keyboard leaves out."""
    found = [text for text, data in emoji.EMOJI_DATA.items() if data["status"] == emoji.STATUS[status]]
    assert found
    for text in found:
        check_emoji(text)
        assert len(regex.findall(r"\X", text)) == 1


@pytest.mark.parametrize("text", NOT_ONE_EMOJI.values(), ids=NOT_ONE_EMOJI)
def test_nothing_else_is(text: str) -> None:
    with pytest.raises(Invalid, match="not one emoji"):
        check_emoji(text)


def test_no_single_character_is_one_that_unicode_does_not_list() -> None:
    """Of those that Python knows to be assigned; the others may be set aside for emojis."""
    others = {text for text in map(chr, range(0x20000)) if category(text) not in ("Cn", "Cs")} - emoji.EMOJI_DATA.keys()
    assert len(others) > 80_000
    assert {text for text in others if passes(text)} == set()


def test_an_emoji_of_the_future_is_one() -> None:
    """U+1FFFD is the last that has been set aside."""
    check_emoji("\U0001fffd")
    check_emoji("\U0001fffd\U0001f3fd")


def test_equal_emojis_on_one_message_have_equal_marks() -> None:
    marks = {
        mark_of(KEY, "c", 1, "\u2764"),
        mark_of(KEY, "c", 1, "\u2764\ufe0f"),
    }
    assert len(marks) == 1
    others = {
        mark_of(KEY, "c", 1, "\U0001f44d"),
        mark_of(KEY, "c", 1, "\U0001f44d\U0001f3fb"),
        mark_of(KEY, "c", 2, "\u2764"),
        mark_of(KEY, "d", 1, "\u2764"),
        mark_of(AuthorKey("", bytes(32)), "c", 1, "\u2764"),
    }
    assert len(others | marks) == 6
