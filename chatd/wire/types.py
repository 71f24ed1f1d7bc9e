"""The constrained types that commands are made of. A value outside them is refused at the first door.

One rule holds for every text a client gives: NUL (U+0000) is refused, since PostgreSQL's text cannot hold it;
lone surrogates are refused by the decoders; everything else is kept as given, without normalisation.
Lengths count Unicode code points.
"""

from typing import Annotated

from msgspec import Meta

# In Python, "$" alone lets a final line feed through; this means the same there as it does in a JSON Schema.
_END = "$(?!\\n)"
NO_NUL = "^[^\\u0000]*$"
_VISIBLE = "^[!-~]+" + _END
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}" + _END

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

UserId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern="^[^\\u0000-\\u001f\\u007f]+" + _END,
        description="A person, as the `sub` of the product's tokens names them.",
        examples=["bob"],
    ),
]
DeviceId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern="^[A-Za-z0-9._-]+" + _END,
        description="A device of the caller's, as the client names it; cursors are kept for each.",
        examples=["phone"],
    ),
]
ClientId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=_VISIBLE,
        description="Names this change, once and for ever, among those of its author. "
        "Sent again it gives the first reply; used for anything else it gives `conflict`.",
        examples=["5f0d6f4e-1"],
    ),
]
ConversationId = Annotated[
    str,
    Meta(
        pattern=_UUID,
        description="A conversation.",
        examples=["6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b"],
    ),
]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=NO_NUL,
        description="What is said. Any Unicode text but NUL, kept as given; its length is counted in code points.",
        examples=["hello"],
    ),
]
Token = Annotated[
    str,
    Meta(min_length=1, max_length=8192, pattern=NO_NUL, description="A JWT of the product's auth service."),
]
RequestId = Annotated[
    int,
    Meta(ge=0, le=MAX_INTEGER, description="Chosen by the client; its reply carries the same.", examples=[7]),
]
Seq = Annotated[
    int,
    Meta(ge=0, le=MAX_INTEGER, description="A position in a conversation's log. The first change stands at 1."),
]
EpochName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=_VISIBLE,
        description="Names a time in which logs only grow, and so what cursors are of: once a backup was restored "
        "there is another one, and cursors of this one mean nothing.",
        examples=["q3Zk0pXvT1m9-uYc"],
    ),
]
Place = Annotated[
    int, Meta(ge=1, le=MAX_INTEGER, description="Where a message stands in its conversation's log.", examples=[1])
]
Mentions = Annotated[list[UserId], Meta(max_length=50, description="Members whom a message names.", examples=[["bob"]])]
Emoji = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=NO_NUL,
        description="One emoji, be it a sequence of several characters. With and without U+FE0F it is the same.",
        examples=["\U0001f44d"],
    ),
]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL)]
MetadataValue = Annotated[str, Meta(max_length=1024, pattern=NO_NUL)]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Meta(max_length=16, description="Free text by name, kept sealed beside the text.", examples=[{"lang": "en"}]),
]
DisplayName = Annotated[
    str,
    Meta(min_length=1, max_length=200, pattern=NO_NUL, description="What a person is called.", examples=["Bob"]),
]
AvatarUrl = Annotated[
    str,
    Meta(
        max_length=2048,
        pattern="^https?://[!-~]+" + _END,
        description="Where a person's picture is. chatd neither fetches nor checks it.",
        examples=["https://example.com/bob.png"],
    ),
]
