"""Texts that break things: each is to come back as it was written. None holds NUL, which is refused everywhere."""

import json
from collections.abc import Iterator
from pathlib import Path

LONGEST = 4000
"""Code points that a message has at most, by default."""

NAUGHTY = {
    "combining": "e\u0301 vs \u00e9, a\u0323\u0302 vs \u1ead",
    "zalgo": "Z" + "\u0300\u0316\u0334\u0489" * 40 + "algo",
    "hangul jamo": "\u1112\u1161\u11ab \ud55c",
    "bidirectional": "\u202eevil\u202c \u2066isolated\u2069 \u200e\u200f",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 abc \u0661\u0662\u0663",
    "joined emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308",
    "skin and flags": "\U0001f44d\U0001f3ff \U0001f1eb\U0001f1f7 \U0001f3f4\U000e0067\U000e0062\U000e007f",
    "invisible": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u3164",
    "only a joiner": "\u200d",
    "byte order mark": "\ufeffhello",
    "noncharacters": "\ufffe\uffff\U0001fffe\U0010ffff\ufdd0",
    "private use": "\ue000\U000f0000\U00100000",
    "replacement": "\ufffd",
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "line ends": "one\r\ntwo\rthree\nfour\u2028five\u2029six\x0bseven\x0ceight\x85nine",
    "white space": " \t\u00a0\u2003\u3000 ",
    "quotes": "'\"`\\ \\' \\\" \\\\ \\u0041 \\x41 \\0 %",
    "terminal": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b1m",
    "SQL": "'; DROP TABLE chatd.messages; -- \" OR 1=1 /* $1 %s %(x)s :name ? */ $$body$$",
    "SQL array": "{\"a\",NULL,\\N} (1,2) E'\\\\x00' NULL",
    "formats": "%s %d %n %99999999s {0} {user.__class__} ${jndi:ldap://x} #{7*7} {{7*7}}",
    "markup": "<script>alert('x')</script> &amp; &#0; ]]> <!-- -->",
    "JSON": '{"id":1,"type":"ok"} \\u0000 null true',
    "paths": "../../etc/passwd\t//host/share C:\\con file:///dev/random",
    "numbers": "NaN Infinity -0 1e400 0x10 1_000 \u0661 \u2460",
    "case": "\u0130\u0131 \u00df \u1e9e \ufb03 \u03a3\u03c2\u03c3",
    "look-alikes": "p\u0430yp\u0430l \uff41\uff42\uff43 \U0001d4b6",
    "one letter": "x",
    "as long as may be": "\U0001f600" * LONGEST,
}


PIECES: dict[str, tuple[str, ...]] = {
    "reserved words": ("undefined", "null", "None", "NaN", "true", "nil", "hasOwnProperty", "__proto__", "constructor"),
    "numbers": ("0", "-0", "1/0", "1e308", "9" * 400, "0.1+0.2", "1,000.5", "\u0663\u0664", "\u00bd", "\u2167", "-1"),
    "space": (" ", "\t", "\n", "\r\n", "\u00a0", "\u2028", "\u3000", " leading", "trailing ", "\x0b\x0c", "\x85"),
    "controls": (
        "\x01",
        "\x08\x08\x08",
        "\x1b[2J\x1b[H",
        "\x1b]8;;http://x\x07link",
        "\x7f",
        "\x9b31m",
        "\r overwritten",
    ),
    "tags": ("\U000e0001", "\U000e0061\U000e0062", "\ufff9annotated\ufffbby\ufffa", "\u061c", "\u180e"),
    "bidirectional": ("\u202a\u202b\u202c\u202d\u202e", "\u2066\u2067\u2068\u2069", "a\u200fb\u200ec", "\u202etxt.exe"),
    "combining": (
        "\u0301",
        "a" + "\u0300" * 100,
        "\u1100\u1161\u11a8",
        "o\u0308 \u00f6",
        "\u0e01\u0e33\u0e49",
        "\u20dd",
    ),
    "emoji": (
        "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f467",
        "\U0001f1e9\U0001f1ea\U0001f1eb",
        "1\ufe0f\u20e3",
        "\u2764\ufe0e\u2764\ufe0f",
        "\U0001f9d1\U0001f3fb\u200d\U0001f91d\u200d\U0001f9d1\U0001f3ff",
        "\ufe0f",
        "\U0001f3fb",
    ),
    "scripts": (
        "\u7530\u4e2d\u3055\u3093",
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\u0645\u064f\u0646\u064e\u0627\u0642\u064e\u0634\u064e\u0629",
        "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
        "\U00010330\U00012000\U0001f0a1",
        "\u0130stanbul \u1e9e \u03c2 \u01c5",
    ),
    "planes": ("\ud7ff\ue000", "\ufffd", "\uffff", "\U00010000", "\U0010ffff", "\ufdd0\ufdef"),
    "SQL": (
        "' OR '1'='1",
        '"; DELETE FROM chatd.messages; --',
        "$1",
        "%(x)s",
        "%s%s%s",
        "E'\\x00'",
        "NULL",
        "{}",
        "\\.",
    ),
    "code": ("${7*7}", "{{config}}", "#{1}", "<%= 1 %>", "$(id)", "`id`", "; ls", "() { :;}; echo", "__import__('os')"),
    "formats": ("%d%n%s%p", "{0}{1}", "{!r:>{width}}", "%99999999s", "%", "%%", "{", "}", "\\u0000", "\\x00", "\\0"),
    "markup": (
        "<img src=x onerror=alert(1)>",
        "]]><![CDATA[",
        "&lt;&#x0;&nbsp;",
        "<!--",
        "javascript:alert(1)",
        "<?xml?>",
    ),
    "paths": ("../../../etc/passwd", "C:\\CON", "file:///dev/zero", "//host/share", ".", "..", "~", "a/b%2fc", "%00"),
    "JSON": ('"', "\\", '{"a":', "[[[", '\\"', "\\ud800", "/*", "//"),
    "headers": ("\r\nSet-Cookie: a=b", "=?utf-8?q?x?=", "a\r\n\r\nb", "\r\n.\r\n"),
    "terminals": ("+++ATH0", "Power\u0644\u064f\u0644\u064f\u0635\u0651\u0628\u064f\u0644\u064f\u0644\u0635\u0651"),
}

PACKAGES = (
    Path("/usr/lib/node_modules/big-list-of-naughty-strings/blns.json"),
    Path("/usr/local/lib/node_modules/big-list-of-naughty-strings/blns.json"),
    Path(__file__).parents[2] / "node_modules/big-list-of-naughty-strings/blns.json",
)
"""Where npm may have put the Big List of Naughty Strings."""


def texts(*, longest: int = LONGEST) -> list[str]:
    """All of them that are no longer than that, each once, and the Big List too where it is installed."""
    found = [*NAUGHTY.values(), *(text for pieces in PIECES.values() for text in pieces), *_big_list()]
    return [text for text in dict.fromkeys(found) if 0 < len(text) <= longest]


def _big_list() -> Iterator[str]:
    for package in PACKAGES:
        if package.exists():
            yield from (text for text in json.loads(package.read_text("utf-8")) if "\0" not in text)
