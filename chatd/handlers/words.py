"""Words: what a text is cut into, so that it can be found again. Pure.

A text is folded, character by character, and then cut:

- Compatibility forms are taken apart (NFKD) and case is folded, so width, ligatures and capitals do not count.
- Accents do not count either: marks above, below or across a letter are dropped, and so are the points of Hebrew and
  Arabic. Marks that make another letter are kept: the vowel signs of the scripts of India and South-East Asia, and the
  voicing marks of Japanese.
- What cannot be seen (soft hyphens, joiners, variation selectors) is dropped; a zero-width space separates.
- A **word** is a run of letters, digits and marks. Of a longer one than :data:`WORD_CHARS` the beginning counts.
- A script that is written without spaces, or, like Korean, whose words take endings, is cut into its **syllables**: a
  letter with its marks. Each is found by itself, and each with the one before it (bigrams).
- A symbol, such as an emoji, is a word of its own. Everything else separates.

A **term** of a query is a word, or a phrase in quotation marks; so is what no space divides, ``don't`` for example.
It occurs where its words stand one after the other, whatever separates them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final
from unicodedata import category, combining, normalize

from chatd.errors import Invalid
from chatd.records.base import Record

WORD_CHARS: Final = 64
"""So many characters of a word tell it from others."""

MAX_TERMS: Final = 16

_SYLLABLE: Final = "\x01"
"""Stands before a syllable in a folded text. A control character separates, so no text can bring it along."""

# Chinese, Japanese (with its marks), Bopomofo, Korean; Thai, Lao, Myanmar, Khmer, and scripts akin to these.
_UNSPACED: Final = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1100, 0x11FF),
    (0x1780, 0x17FF),
    (0x1950, 0x19DF),
    (0x1A20, 0x1AAF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3040, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA960, 0xA97F),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xD7B0, 0xD7FF),
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFD),
)
# Korean vowels and final consonants belong to the consonant before them.
_CONTINUING: Final = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))
_UNSPACED_CLASS: Final = "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED)
_PIECE: Final = re.compile(f"{_SYLLABLE}[^ ][{_UNSPACED_CLASS}]*|[^{_SYLLABLE} ]+")

_INVISIBLE: Final = frozenset(("\u034f", *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))))
_ZERO_WIDTH_SPACE: Final = "\u200b"

# Canonical combining classes (UAX #44, table 15) of marks that leave a letter what it is.
_POINTS: Final = range(10, 37)
_ATTACHED_ABOVE_OR_BELOW: Final = range(200, 255)


def _within(char: str, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= ord(char) <= last for first, last in ranges)


def _kept(char: str) -> str:
    """What a character of a decomposed text, in lower case, contributes."""
    kind = category(char)
    if char in _INVISIBLE or (kind == "Cf" and char != _ZERO_WIDTH_SPACE):
        return ""
    if kind[0] in "LN":
        begins = _within(char, _UNSPACED) and not _within(char, _CONTINUING)
        return _SYLLABLE + char if begins else char
    if kind[0] == "M":
        drop = kind == "Me" or combining(char) in _POINTS or combining(char) in _ATTACHED_ABOVE_OR_BELOW
        return "" if drop else char
    return f" {char} " if kind == "So" else " "


class _Folds(dict[int, str]):
    """What each character that was ever met becomes. It begins anew before it takes more than a few megabytes."""

    capacity = 20_000

    def __missing__(self, code: int) -> str:
        if len(self) >= self.capacity:
            self.clear()
        decomposed = normalize("NFKD", normalize("NFKD", chr(code)).casefold())
        self[code] = folded = "".join(map(_kept, decomposed))
        return folded


_FOLDS: Final = _Folds()


class Piece(Record, frozen=True, kw_only=True, gc=False):
    """A word, a syllable or a symbol, and where it stands in the folded text."""

    text: str
    syllable: bool
    start: int
    end: int


class Range(Record, frozen=True, kw_only=True, gc=False):
    """From ``start`` up to, but not including, ``end``: code points of a text."""

    start: int
    end: int


Term = tuple[str, ...]
"""The pieces of a term, as texts."""


class Query(Record, frozen=True, kw_only=True, gc=False):
    """What is looked for: every one of ``terms`` has to occur, and so every one of ``tokens``."""

    terms: tuple[Term, ...]
    tokens: tuple[str, ...]


def fold(text: str) -> str:
    """What is left of a text to compare."""
    return text.translate(_FOLDS)


def pieces(folded: str) -> Iterator[Piece]:
    """What a folded text is cut into."""
    for found in _PIECE.finditer(folded):
        text = found[0]
        syllable = text[0] == _SYLLABLE
        if not text.isascii():
            # Composed again: this puts marks that were typed in another order into one.
            text = normalize("NFC", text.lstrip(_SYLLABLE))
        yield Piece(text=text[:WORD_CHARS], syllable=syllable, start=found.start(), end=found.end())


def _tokens(cut: Iterable[Piece]) -> Iterator[str]:
    """Every piece, and every two syllables that stand one after the other."""
    last = None
    for piece in cut:
        yield piece.text
        if last is not None and last.syllable and piece.syllable:
            yield last.text + piece.text
        last = piece


def tokens(text: str, limit: int) -> tuple[str, ...]:
    """The first ``limit`` different tokens that a text is found by."""
    folded = fold(text)
    if folded.isascii() and _SYLLABLE not in folded:
        # Most texts: what they are cut into is what spaces divide, and cutting by them alone takes a tenth of the time.
        return tuple(dict.fromkeys(word[:WORD_CHARS] for word in folded.split(" ") if word))[:limit]
    found: dict[str, None] = {}
    for token in _tokens(pieces(folded)):
        found[token] = None
        if len(found) == limit:
            break
    return tuple(found)


def parse(text: str) -> Query:
    """The query that was written; raises Invalid where it asks for nothing, for too much, or has no end."""
    terms: dict[Term, None] = {}
    found: dict[str, None] = {}
    for term in _terms(text):
        cut = list(pieces(fold(term)))
        if cut:
            terms[tuple(piece.text for piece in cut)] = None
            found.update(dict.fromkeys(_sought(cut)))
    if not terms:
        raise Invalid("`query` has no word in it.")
    if len(terms) > MAX_TERMS:
        raise Invalid(f"`query` has {len(terms)} terms; the limit is {MAX_TERMS}.")
    return Query(terms=tuple(terms), tokens=tuple(found))


def _sought(cut: Sequence[Piece]) -> Iterator[str]:
    """The tokens of a term, without the syllables that others of them hold."""
    paired = [one.syllable and next.syllable for one, next in pairwise(cut)]
    for piece, before, behind in zip(cut, [False, *paired], [*paired, False], strict=True):
        if not (before or behind):
            yield piece.text
    yield from (one.text + next.text for (one, next), pair in zip(pairwise(cut), paired, strict=True) if pair)


def _terms(text: str) -> Iterator[str]:
    """What stands in quotation marks, straight or curled, and between spaces outside of them."""
    parts = re.split('["\u201c\u201d]', text)
    if len(parts) % 2 == 0:
        raise Invalid("`query` has a quotation mark that is not closed.")
    for number, part in enumerate(parts):
        yield from (part,) if number % 2 else part.split()


def occurrences(query: Query, text: str) -> list[Range]:
    """Where the terms of a query occur, from the beginning on and without overlaps; none unless all of them do."""
    folded = fold(text)
    cut = list(pieces(folded))
    found: list[tuple[int, int]] = []
    for term in query.terms:
        places = list(_occurrences(term, cut))
        if not places:
            return []
        found += places
    return list(_ranges(found, text))


def _occurrences(term: Term, cut: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """Where a term's pieces stand one after the other, in the folded text."""
    for at in range(len(cut) - len(term) + 1):
        if all(cut[at + n].text == piece for n, piece in enumerate(term)):
            yield cut[at].start, cut[at + len(term) - 1].end


def _ranges(places: Iterable[tuple[int, int]], text: str) -> Iterator[Range]:
    """Ranges of the folded text as those of the text itself, in which dropped marks belong to what they follow."""
    origins = [at for at, char in enumerate(text) for _ in _FOLDS[ord(char)]]
    origins.append(len(text))
    start = end = 0
    for first, last in sorted(places):
        begins, ends = origins[first], max(origins[last - 1] + 1, origins[last])
        if begins >= end:
            if end:
                yield Range(start=start, end=end)
            start = begins
        end = max(end, ends)
    yield Range(start=start, end=end)
