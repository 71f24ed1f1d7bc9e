"""Sizes and counts beyond which things are refused; how often they may be is in ``chatd.settings.rates``."""

from typing import Annotated

from msgspec import Meta

from chatd.settings.base import Section


class Limits(Section, frozen=True, kw_only=True):
    """Sizes and counts; what is above them is refused with an error that says so."""

    max_frame_bytes: Annotated[int, Meta(ge=1024, le=2**24, description="Largest WebSocket frame.")] = 262_144
    max_message_bytes: Annotated[
        int, Meta(ge=1024, le=2**24, description="Largest WebSocket message, all of its frames together.")
    ] = 262_144
    max_body_bytes: Annotated[int, Meta(ge=1024, le=2**24, description="Largest body of an HTTP request.")] = 262_144
    max_header_bytes: Annotated[
        int, Meta(ge=1024, le=2**20, description="Largest head of an HTTP request or WebSocket upgrade.")
    ] = 16_384
    max_text_chars: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Longest text of a chat message, in Unicode code points.")
    ] = 4000
    max_metadata_bytes: Annotated[
        int, Meta(ge=0, le=2**20, description="Largest metadata of a message: its names and values, in UTF-8.")
    ] = 2048
    edit_seconds: Annotated[
        float, Meta(ge=0, le=1e9, description="How old a message may be when it is edited; 0 for any age.")
    ] = 0.0
    delete_seconds: Annotated[
        float, Meta(ge=0, le=1e9, description="How old a message may be when it is deleted for all; 0 for any age.")
    ] = 0.0
    max_reactions: Annotated[
        int, Meta(ge=1, le=1000, description="Different reactions of one person to one message.")
    ] = 20
    max_emojis: Annotated[int, Meta(ge=1, le=1000, description="Different reactions to one message by all.")] = 50
    large_group: Annotated[
        int, Meta(ge=2, le=1_000_000, description="Members above which a group is large: marks are counts, not names.")
    ] = 100
    max_in_flight: Annotated[
        int, Meta(ge=1, le=100_000, description="Commands of one connection under way at once.")
    ] = 512
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000, description="Connections of a worker.")] = 20_000
    max_connections_per_address: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Connections from one address, on all workers; see proxies.trusted."),
    ] = 5000
    max_connections_per_user: Annotated[
        int, Meta(ge=1, le=1_000_000, description="WebSockets of one person, on all workers.")
    ] = 100
    max_unauthenticated: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Connections of a worker that have not yet shown a token.")
    ] = 2000
    write_queue: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Changes that may wait to be written; more are refused.")
    ] = 10_000
    compression: Annotated[
        bool, Meta(description="Compress WebSocket messages for clients that offer it; costs memory for each of them.")
    ] = False
    event_buffer_bytes: Annotated[
        int, Meta(ge=4096, le=2**30, description="Unsent bytes of a connection above which events are held back.")
    ] = 262_144
    output_buffer_bytes: Annotated[
        int, Meta(ge=4096, le=2**30, description="Unsent bytes of a connection above which it is closed.")
    ] = 1_048_576
    slow_reader_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="How long events may be held back before the connection is closed.")
    ] = 30.0
    memory_bytes: Annotated[
        int, Meta(ge=0, le=2**50, description="Memory that a worker must not pass, 128 MiB or more; 0: no bound.")
    ] = 0
