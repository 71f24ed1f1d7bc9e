"""How texts are cut into words, and where a query occurs in them."""

import sys
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatd.errors import Invalid
from chatd.handlers import words
from chatd.handlers.words import WORD_CHARS, fold, occurrences, parse, pieces, tokens

LIMIT = 512
TEXTS = st.text(
    st.one_of(
        st.sampled_from(
            "aAbB eé\uff25.,'-_\"1\uff11ß\u0131İﬁΣς猫我的カがか\u3099ｶﾞกิ่น한ᄒ\u1161ᆫ👍\u200d\u200b\u00ad\u0301\u0327½"
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)


def cut(text: str) -> list[str]:
    return [piece.text for piece in pieces(fold(text))]


def highlighted(query: str, text: str) -> list[str]:
    return [text[found.start : found.end] for found in occurrences(parse(query), text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("don't snake_case a-b 3.14", ["don", "t", "snake", "case", "a", "b", "3", "14"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ÉCOLE e\u0301cole ﬁne", ["ecole", "ecole", "fine"]),
        ("Ёлка йод", ["елка", "иод"]),
        ("ΣΊΣΥΦΟΣ σίσυφος", ["σισυφοσ", "σισυφοσ"]),
        ("İstanbul", ["istanbul"]),
        ("\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd \u0645\u064e\u0631", ["\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("co\u00adope\u200drate zero\u200bwidth", ["cooperate", "zero", "width"]),
        ("ＡＢＣ①", ["abc1"]),
        ("我的猫", ["我", "的", "猫"]),
        ("iPhone手机x", ["iphone", "手", "机", "x"]),
        ("ガ ｶﾞ か\u3099", ["ガ", "ガ", "が"]),
        ("กิน", ["กิ", "น"]),
        ("한국 \u1112\u1161\u11ab", ["한", "국", "한"]),
        ("👍🏿 C++ 👨\u200d👩 ☃\ufe0f", ["👍", "c", "👨", "👩", "☃"]),
        (" \t\n\x01\x00 ... ", []),
        ("x" * 100, ["x" * WORD_CHARS]),
    ],
)
def test_a_text_is_cut_into_words_syllables_and_symbols(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_marks_in_another_order_make_the_same_word() -> None:
    nukta_first, virama_first = "क\u093c\u094d", "क\u094d\u093c"
    assert nukta_first != virama_first
    assert cut(nukta_first) == cut(virama_first)


def test_two_syllables_are_a_token_and_so_is_each() -> None:
    assert tokens("我的 猫 cat 手", LIMIT) == ("我", "的", "我的", "猫", "的猫", "cat", "手")


def test_a_text_has_so_many_tokens_and_no_more() -> None:
    text = " ".join(f"w{n % 30}" for n in range(100))
    assert tokens(text, 16) == tuple(f"w{n}" for n in range(16))
    assert len(tokens(text, LIMIT)) == 30


@given(TEXTS)
@example("\U0001f468\u200d\U0001f469 e\u0301 \u3164\u1160")
def test_normalised_or_not_a_text_has_the_same_tokens(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert tokens(unicodedata.normalize(form, text), LIMIT) == tokens(text, LIMIT)


@given(st.one_of(TEXTS, st.text(st.characters(max_codepoint=0x17F), max_size=100)), st.integers(1, 20))
def test_tokens_are_the_pieces_however_a_text_is_cut(text: str, limit: int) -> None:
    assert tokens(text, limit) == tuple(dict.fromkeys(words._tokens(pieces(fold(text)))))[:limit]


def test_folds_are_forgotten_before_they_take_much_memory() -> None:
    for code in range(0x10000, 0x10000 + 2 * words._FOLDS.capacity):
        fold(chr(code))
    assert len(words._FOLDS) <= words._FOLDS.capacity
    assert sys.getsizeof(words._FOLDS) < 2_000_000
    assert fold("É") == "e"


# -- queries --


@pytest.mark.parametrize(
    ("query", "terms", "sought"),
    [
        ("Hello  hello wörld", {("hello",), ("world",)}, {"hello", "world"}),
        ('see "you Later" "" ', {("see",), ("you", "later")}, {"see", "you", "later"}),
        ("\u201cyou later\u201d", {("you", "later")}, {"you", "later"}),
        ("don't - !", {("don", "t")}, {"don", "t"}),
        ("猫", {("猫",)}, {"猫"}),
        ("我的猫", {("我", "的", "猫")}, {"我的", "的猫"}),
        ("a猫b我的", {("a", "猫", "b", "我", "的")}, {"a", "猫", "b", "我的"}),
    ],
)
def test_a_query_is_words_and_phrases(query: str, terms: set[tuple[str, ...]], sought: set[str]) -> None:
    parsed = parse(query)
    assert (set(parsed.terms), set(parsed.tokens)) == (terms, sought)
    assert len(parsed.tokens) == len(sought)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("...", "no word"),
        ('""', "no word"),
        ('a "b', "not closed"),
        (" ".join(f"w{n}" for n in range(17)), "17 terms; the limit is 16"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(query: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        parse(query)


# -- where it occurs --


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("world", "Hello, WÖRLD! world.", ["WÖRLD", "world"]),
        ("hello world", "hello there", []),
        ('"hello world"', "world hello, (World) hello", ["hello, (World"]),
        ("don't", "I don\u2019t, don, t", ["don\u2019t", "don, t"]),
        ("ecole", "l'e\u0301cole", ["e\u0301cole"]),
        ("cafe", "cafe\u0301!", ["cafe\u0301"]),
        ("1", "½", ["½"]),
        ("fine", "ﬁne", ["ﬁne"]),
        ("的猫", "我的猫,狗", ["的猫"]),
        ("a", "a a\u0301 aa", ["a", "a\u0301"]),
        ("a b", "b a", ["b", "a"]),
        ('"a a"', "a a a", ["a a a"]),
        ("👍", "👍🏿👍", ["👍🏿", "👍"]),
        ("x" * 64, "y " + "x" * 100, ["x" * 100]),
    ],
)
def test_an_occurrence_is_a_range_of_the_text_as_it_was_written(query: str, text: str, expected: list[str]) -> None:
    # A modifier of an emoji's skin is a symbol that separates: the range is the emoji's.
    assert highlighted(query, text) == [one.removesuffix("🏿") for one in expected]


@given(TEXTS, st.data())
def test_any_part_between_two_separators_is_found_where_it_stands(text: str, data: st.DataObject) -> None:
    found = list(pieces(fold(text)))
    if not found:
        return
    first = data.draw(st.integers(0, len(found) - 1))
    last = data.draw(st.integers(first, min(first + 5, len(found) - 1)))
    query = words.Query(
        terms=(tuple(piece.text for piece in found[first : last + 1]),),
        tokens=tuple(words._sought(found[first : last + 1])),
    )
    assert set(query.tokens) <= set(tokens(text, LIMIT))
    ranges = occurrences(query, text)
    assert ranges
    assert all(0 <= one.start < one.end <= len(text) for one in ranges)
    assert all(one.end <= next.start for one, next in pairwise(ranges))
    # What is highlighted holds what is looked for, and so does the whole.
    assert occurrences(query, " ".join(text[one.start : one.end] for one in ranges))
