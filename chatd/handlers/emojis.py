"""What an emoji is: one sequence of UTS #51, section 1.4.9 ("EBNF and Regex"), read more strictly than that.

- A flag: two regional indicators.
- A keycap: a digit, ``#`` or ``*``, then perhaps U+FE0F, then U+20E3.
- Elements joined by U+200D. An element is an emoji character, perhaps with U+FE0F behind it, or a modifier base with a
  skin tone; then perhaps tags and the end of tags, as the flags of Scotland and Texas have them.

So all emojis of Unicode are let in, well-formed ones besides that no font may show, and nothing else: no text, no bare
digit, no bare skin tone, and not two of them. An unassigned character that Unicode has set aside for emojis is taken
for one, so that a new emoji may be used before this server has heard of it.

U+FE0F asks for the coloured form. Keyboards leave it out as they like, so it does not tell emojis apart.
"""

from typing import Final

import regex

from chatd.errors import Invalid
from chatd.security.sealing import AuthorKey

_SET_ASIDE: Final = r"[\p{Extended_Pictographic}&&\p{Unassigned}]"
_PLAIN: Final = rf"[[\p{{Emoji}}--[0-9#*\p{{Regional_Indicator}}\p{{Emoji_Modifier}}]]||{_SET_ASIDE}]"
_TONED: Final = rf"[\p{{Emoji_Modifier_Base}}||{_SET_ASIDE}]\p{{Emoji_Modifier}}"
_ELEMENT: Final = rf"(?:{_TONED}|{_PLAIN}\uFE0F?)(?:[\U000E0020-\U000E007E]+\U000E007F)?"
_EMOJI: Final = regex.compile(
    rf"\p{{Regional_Indicator}}{{2}}|[0-9#*]\uFE0F?\u20E3|{_ELEMENT}(?:\u200D{_ELEMENT})*", regex.VERSION1
)


def check_emoji(text: str) -> None:
    """Raise Invalid unless ``text`` is one emoji."""
    if _EMOJI.fullmatch(text) is None:
        raise Invalid("`emoji` is not one emoji: give a single emoji character or sequence of Unicode.")


def mark_of(key: AuthorKey, conversation: str, seq: int, emoji: str) -> bytes:
    """What stands for an emoji on the message at ``seq``: equal for equal ones there, and nowhere else.

    ``key`` is the server's, so that it is the same whoever reacts.
    """
    same = emoji.replace("\ufe0f", "")
    return key.digest(f"reaction\0{conversation}\0{seq}\0{same}".encode())
