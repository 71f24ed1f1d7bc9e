"""Frames as RFC 6455, section 5.2 has them."""

import struct

import pytest

from chatd.edge.frames import FrameForm
from chatd.handlers.catalogue import DECLARATIONS
from chatd.router import command_union
from chatd.wire.codec import Codec, JsonCodec, MsgpackCodec
from chatd.wire.events import ConversationStale
from tests.kit.stores import new_id

CODECS: list[Codec] = [codec(command_union(DECLARATIONS)) for codec in (JsonCodec, MsgpackCodec)]
OPCODES = {"chatd.v1.json": 1, "chatd.v1.msgpack": 2}


def parsed(wire: bytes) -> tuple[bool, int, bool, bytes]:
    """Whether the one frame is the last of its message, its opcode, whether it is masked, and its payload.

    Its length has to be written in the shortest way.
    """
    first, second = wire[:2]
    length, shortest, rest = second & 0x7F, 0, wire[2:]
    if length == 126:
        [length], shortest, rest = struct.unpack(">H", rest[:2]), 126, rest[2:]
    elif length == 127:
        [length], shortest, rest = struct.unpack(">Q", rest[:8]), 65536, rest[8:]
    assert length >= shortest
    assert len(rest) == length
    assert not first & 0x70, "a reserved bit is set"
    return bool(first & 0x80), first & 0x0F, bool(second & 0x80), rest


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.subprotocol)
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_a_payload_of_any_length_is_one_whole_unmasked_frame(codec: Codec, length: int) -> None:
    payload = bytes(range(256)) * (length // 256 + 1)
    frames = FrameForm(codec).frames(payload[:length])
    assert parsed(frames.wire) == (True, OPCODES[codec.subprotocol], False, payload[:length])
    assert (frames.payloads, frames.size) == ((payload[:length],), len(frames.wire))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.subprotocol)
def test_each_event_is_a_frame_of_what_its_codec_makes_of_it(codec: Codec) -> None:
    form, events = FrameForm(codec), [ConversationStale(conversation=new_id()) for _ in range(3)]
    one, several = form.encode(events[0]), form.encode(*events)
    assert one.payloads == (parsed(one.wire)[-1],) == (codec.encode_event(events[0]),)
    assert several.wire == b"".join(form.encode(event).wire for event in events)
    assert several.payloads == tuple(map(codec.encode_event, events))
