"""Every setting of chatd: its name, type, range, default and one line of help.

One name serves everywhere: ``certificate`` under ``[tls]`` in the file is ``CHATD_TLS_CERTIFICATE`` in the
environment and ``--tls-certificate`` as a flag. ``--help``, ``etc/chatd.toml`` and the reference in the
documentation are made from this module, and from those whose sections it takes in (see ``chatd.settings.reference``);
``chatd.settings.sources.load`` fills it.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chatd.settings.base import Address, Networks, Origins, Path, Prefix, Secret, Section, Workers
from chatd.settings.limits import Limits
from chatd.settings.rates import Rates

ORIGIN = r"^[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[1-9][0-9]{0,4})?\Z"
"""The shape of a configured origin: a scheme, a host, perhaps a port, and nothing behind them."""

MOST_WORKERS = 256

LogLevel = Literal["debug", "info", "warn", "error", "critical"]
LogFormat = Literal["text", "json"]
ContactPolicy = Literal["anyone", "followers", "mutual", "ask"]


class Tls(Section, frozen=True, kw_only=True):
    """TLS on chatd's own port. Behind a proxy that ends TLS, leave both empty and set behind_proxy."""

    certificate: Annotated[str, Path, Meta(description="PEM file of the certificate, its chain behind it.")] = ""
    key: Annotated[str, Path, Meta(description="PEM file of the certificate's private key, not encrypted.")] = ""
    hsts_seconds: Annotated[
        float,
        Meta(ge=0, le=1e9, description="How long browsers are to come back by TLS alone, a proxy's too; 0: not told."),
    ] = 31_536_000.0

    @property
    def given(self) -> bool:
        return bool(self.certificate or self.key)


class Database(Section, frozen=True, kw_only=True):
    """PostgreSQL, where everything durable is kept."""

    dsn: Annotated[Secret, Meta(description="Where PostgreSQL is: a libpq connection string or postgresql:// URL.")] = (
        Secret()
    )
    dsn_file: Annotated[str, Path, Meta(description="File that holds the dsn, closed to other users.")] = ""
    pool_size: Annotated[int, Meta(ge=1, le=200, description="Connections to PostgreSQL that a worker keeps.")] = 8
    connect_timeout: Annotated[
        float, Meta(ge=0.1, le=300, description="How long opening a connection to PostgreSQL may take.")
    ] = 5.0
    statement_timeout: Annotated[
        float, Meta(ge=0.1, le=300, description="How long one statement may take before PostgreSQL cancels it.")
    ] = 5.0
    max_waiting: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Queries that may wait for a connection; more are refused.")
    ] = 2000


class Tokens(Section, frozen=True, kw_only=True):
    """Which tokens are accepted: signed JWTs of the product's own auth service."""

    issuer: Annotated[str, Meta(description="What a token's iss must be.")] = ""
    audience: Annotated[str, Meta(description="What a token's aud must be or contain.")] = ""
    jwks_file: Annotated[str, Path, Meta(description="JWK Set with the auth service's keys. Or use pem_file.")] = ""
    pem_file: Annotated[str, Path, Meta(description="The auth service's one public key. Or use jwks_file.")] = ""
    jwks_url: Annotated[str, Meta(description="Where the auth service publishes its keys. Or use jwks_file.")] = ""
    discovery: Annotated[
        bool, Meta(description="Find the keys by OpenID discovery at the issuer, which then is a URL.")
    ] = False
    hs256: Annotated[bool, Meta(description="Accept HS256 too, whose keys in jwks_file are secrets.")] = False
    issuers_file: Annotated[
        str, Path, Meta(description="TOML file with more issuers, or all of them, and their introspection.")
    ] = ""
    ca_file: Annotated[
        str, Path, Meta(description="PEM file of the only authorities that auth services' certificates may be from.")
    ] = ""
    max_staleness: Annotated[
        float, Meta(ge=0, le=86_400, description="How long an auth service's last word counts while it is down.")
    ] = 300.0
    expiring_notice: Annotated[
        float, Meta(ge=0, le=86_400, description="How long before its token expires a connection is told; 0: never.")
    ] = 60.0
    leeway: Annotated[
        float, Meta(ge=0, le=300, description="Clock difference with the auth service that is borne, for nbf and iat.")
    ] = 30.0
    max_lifetime: Annotated[
        float,
        Meta(ge=60, le=1e9, description="Longest that a token may have left; revocations are kept for as long."),
    ] = 2_592_000.0


class Encryption(Section, frozen=True, kw_only=True):
    """Encryption at rest. Without any of these, systemd's credential chatd-master-keys is used if there is one."""

    master_keys: Annotated[Secret, Meta(description="The master keys, one a line; only from the environment.")] = (
        Secret()
    )
    master_keys_file: Annotated[
        str, Path, Meta(description="File that holds the master keys, closed to other users.")
    ] = ""
    master_keys_command: Annotated[
        str, Meta(description="Program that prints the master keys, with its arguments; no shell runs it.")
    ] = ""


class Groups(Section, frozen=True, kw_only=True):
    """Groups and what may be in them."""

    max_members: Annotated[int, Meta(ge=1, le=1_000_000, description="Most members of a group.")] = 10_000
    max_admins: Annotated[
        int, Meta(ge=1, le=10_000, description="Most admins and owners of a group; they are told of requests to join.")
    ] = 100
    max_title_chars: Annotated[
        int, Meta(ge=1, le=10_000, description="Longest title of a group, in Unicode code points.")
    ] = 128
    max_description_chars: Annotated[
        int, Meta(ge=0, le=100_000, description="Longest description of a group, in Unicode code points.")
    ] = 2000
    invitation_seconds: Annotated[
        float, Meta(ge=1, le=1e9, description="How long an invitation into a group stands.")
    ] = 604_800.0


class Timeouts(Section, frozen=True, kw_only=True):
    """Deadlines."""

    handshake: Annotated[
        float, Meta(ge=1, le=300, description="For an HTTP head or WebSocket upgrade to arrive whole.")
    ] = 10.0
    auth: Annotated[float, Meta(ge=1, le=300, description="For a WebSocket to show its token.")] = 10.0
    ping_interval: Annotated[
        float, Meta(ge=1, le=3600, description="Between the pings that the server sends to a WebSocket.")
    ] = 30.0
    ping_timeout: Annotated[
        float, Meta(ge=1, le=3600, description="For the answer to a ping, after which the WebSocket is closed.")
    ] = 15.0
    http_idle: Annotated[float, Meta(ge=1, le=3600, description="For the next request on an HTTP connection.")] = 15.0
    http_body: Annotated[float, Meta(ge=1, le=3600, description="For the body of an HTTP request.")] = 10.0
    close: Annotated[float, Meta(ge=0.1, le=300, description="For the other side to finish closing.")] = 5.0
    drain: Annotated[float, Meta(ge=0, le=3600, description="For what is under way when chatd is told to stop.")] = 10.0


class OriginsAllowed(Section, frozen=True, kw_only=True):
    """Which web pages may connect. Clients that send no Origin are not browsers and are let through."""

    allowed: Annotated[
        tuple[Annotated[str, Meta(pattern=ORIGIN)], ...],
        Origins,
        Meta(description="Exact origins, scheme://host[:port]; when empty, only the origin that Host names."),
    ] = ()


class Proxies(Section, frozen=True, kw_only=True):
    """Proxies in front that are believed about whom they speak for (docs/deploy/proxy.rst)."""

    trusted: Annotated[
        tuple[str, ...],
        Networks,
        Meta(description='Their addresses or networks; "unix" for those on a UNIX socket. Only their word counts.'),
    ] = ()
    proxy_protocol: Annotated[
        bool, Meta(description="They begin each connection with a PROXY header, version 1 or 2; one without is closed.")
    ] = False


class Metrics(Section, frozen=True, kw_only=True):
    """Prometheus metrics, on a port of their own."""

    host: Annotated[str, Address, Meta(description="Address of /metrics; it has no TLS and asks for no token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port of /metrics; 0 turns it off.")] = 0


class Contacts(Section, frozen=True, kw_only=True):
    """Who may open a direct conversation with another, or invite them into a group."""

    policy: Annotated[
        ContactPolicy,
        Meta(
            description="Of those whom no block keeps apart: anyone; only whom the other follows (followers);"
            " only who follow each other (mutual); or whom the product allows at url (ask)."
        ),
    ] = "anyone"
    url: Annotated[str, Meta(description="Where the product answers with policy ask: https, or http to loopback.")] = ""
    secret: Annotated[Secret, Meta(description="Bearer token that is shown to url, if it wants one.")] = Secret()
    secret_file: Annotated[str, Path, Meta(description="File that holds the secret, closed to other users.")] = ""
    timeout: Annotated[
        float, Meta(ge=0.1, le=30, description="For the product's whole answer, waiting for a turn included.")
    ] = 2.0
    cache_seconds: Annotated[float, Meta(ge=0, le=3600, description="How long an answer of the product holds.")] = 30.0
    max_in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="Questions to the product under way at once, of a worker.")
    ] = 16
    when_down: Annotated[
        Literal["refuse", "allow"],
        Meta(description="What holds while the product does not answer as it should; a refusal is retryable."),
    ] = "refuse"


class PresenceSettings(Section, frozen=True, kw_only=True):
    """Who is online, and who is typing."""

    heartbeat: Annotated[
        float, Meta(ge=0.1, le=7.5, description="How often a worker tells the others, by the database, that it lives.")
    ] = 4.0
    lease: Annotated[
        float,
        Meta(ge=0.2, le=15, description="How long after its last heartbeat a dead worker's people count as online."),
    ] = 12.0
    reread: Annotated[
        float, Meta(ge=1, le=3600, description="Within what time a change is found whose signal was lost.")
    ] = 30.0
    max_subscriptions: Annotated[
        int, Meta(ge=1, le=5000, description="People of whose presence one connection is told.")
    ] = 1000
    typing_damped_above: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Members above which only a few are shown typing at a time.")
    ] = 100
    typing_silent_above: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Members above which nobody is shown typing.")
    ] = 1000


class Search(Section, frozen=True, kw_only=True):
    """Search in messages. It keeps keyed hashes of their words; docs/design/search.rst says what these tell."""

    enabled: Annotated[
        bool, Meta(description="Let people search in their conversations; finds what was sent while this was on.")
    ] = False
    max_tokens: Annotated[
        int, Meta(ge=16, le=4096, description="Different words of a message that it is found by; the first ones.")
    ] = 512


class Bus(Section, frozen=True, kw_only=True):
    """How workers hear of each other's changes."""

    kind: Annotated[
        Literal["auto", "local", "postgresql", "redis"],
        Meta(description="local for one process, postgresql or redis with workers; auto is local or postgresql."),
    ] = "auto"


class Cache(Section, frozen=True, kw_only=True):
    """A cache that spares PostgreSQL and auth services questions. Nothing depends on it."""

    kind: Annotated[
        Literal["off", "memory", "redis"],
        Meta(description="memory for one of each worker's own, redis for one that all workers share."),
    ] = "off"
    seconds: Annotated[
        float, Meta(ge=1, le=86_400, description="How long the last messages of a conversation are kept.")
    ] = 600.0
    page_bytes: Annotated[
        int, Meta(ge=1024, le=2**19, description="Above how many bytes the last messages are not kept.")
    ] = 131_072
    memory_bytes: Annotated[
        int, Meta(ge=2**20, le=2**36, description="What a cache in memory may take, of a worker.")
    ] = 67_108_864
    timeout: Annotated[
        float, Meta(ge=0.005, le=5, description="How long Redis may take to answer before it is done without.")
    ] = 0.05


class Redis(Section, frozen=True, kw_only=True):
    """Redis, where it carries the bus or is the cache."""

    url: Annotated[
        Secret, Meta(description="Where Redis is: redis://user:password@host:port, rediss:// for TLS, or unix://path.")
    ] = Secret()
    url_file: Annotated[str, Path, Meta(description="File that holds the url, closed to other users.")] = ""
    prefix: Annotated[
        str,
        Prefix,
        Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z", description="What the names of channels and keys begin with."),
    ] = "chatd"
    ca_file: Annotated[
        str, Path, Meta(description="PEM file of who certifies Redis; when empty, whom the system trusts.")
    ] = ""


class Settings(Section, frozen=True, kw_only=True):
    """What one chatd is told. Frozen: a reload makes a new one."""

    host: Annotated[str, Address, Meta(description="Address to listen on; 0.0.0.0 or :: for all.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0 lets the system choose.")] = 8443
    socket: Annotated[
        str, Path, Meta(description="UNIX socket to listen on in place of host and port, for a proxy beside chatd.")
    ] = ""
    workers: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_WORKERS)] | Literal["auto"],
        Workers,
        Meta(description="Worker processes; auto for one on each core, 0 to do everything in one process."),
    ] = 0
    behind_proxy: Annotated[
        bool, Meta(description="A proxy in front ends TLS, so that listening beyond loopback without it is safe.")
    ] = False
    dev: Annotated[
        bool, Meta(description="Try-out, not for production: keys, two users and a database are made for you.")
    ] = False
    state_dir: Annotated[str, Path, Meta(description="Where a try-out keeps its state; empty for the default.")] = ""
    log_level: Annotated[LogLevel, Meta(description="Least severe log level that is written.")] = "info"
    log_format: Annotated[
        LogFormat, Meta(description="text for people, json for programs: one object a line (docs/deploy/logs.rst).")
    ] = "text"
    tls: Tls = msgspec.field(default_factory=Tls)
    database: Database = msgspec.field(default_factory=Database)
    tokens: Tokens = msgspec.field(default_factory=Tokens)
    encryption: Encryption = msgspec.field(default_factory=Encryption)
    limits: Limits = msgspec.field(default_factory=Limits)
    rates: Rates = msgspec.field(default_factory=Rates)
    groups: Groups = msgspec.field(default_factory=Groups)
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    origins: OriginsAllowed = msgspec.field(default_factory=OriginsAllowed)
    proxies: Proxies = msgspec.field(default_factory=Proxies)
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    contacts: Contacts = msgspec.field(default_factory=Contacts)
    presence: PresenceSettings = msgspec.field(default_factory=PresenceSettings)
    search: Search = msgspec.field(default_factory=Search)
    bus: Bus = msgspec.field(default_factory=Bus)
    cache: Cache = msgspec.field(default_factory=Cache)
    redis: Redis = msgspec.field(default_factory=Redis)
