"""Settings: the tables of ``steelyard.toml`` that say how Steelyard runs, each with its bounds.

A setting's unit is the last part of its name; its description is what the reference page prints.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Durability = Literal["process", "disk"]
HangupPolicy = Literal["cancel", "drain"]
HttpServer = Literal["granian", "httptools"]
Audience = Literal["loopback", "off", "all"]

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


WORKERS_MAX = 256


class StudioSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose studio this is."""

    name: Annotated[Name, Meta(description="The studio's name, as documents print it.")]
    operator: Annotated[
        Identifier,
        Meta(
            description="The earner that runs the studio: it issues the invoices, and gets each "
            "margin and each rounding remainder."
        ),
    ]
    zone: Annotated[
        str,
        Meta(
            description="The time zone of documents that name none of their own, "
            "like `Asia/Shanghai`."
        ),
    ] = "UTC"


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens, and what it bounds."""

    host: Annotated[
        str, Meta(min_length=1, description="The address on which the gateway listens.")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="Its TCP port; 0 takes any that is free.")
    ] = 8080
    server: Annotated[
        HttpServer,
        Meta(
            description="What speaks HTTP with callers: `httptools`, by llhttp, or `granian`, by "
            "hyper, at two thirds of the calls a second."
        ),
    ] = "httptools"
    workers: Annotated[
        int, Meta(ge=1, le=WORKERS_MAX, description="Worker processes that share the port.")
    ] = 1
    durability: Annotated[
        Durability,
        Meta(
            description="When a call counts as weighed, before its last byte leaves: `process` "
            "once its record is with the kernel, `disk` once it is on the disk."
        ),
    ] = "process"
    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="The largest request body; above it: 413.")
    ] = 8 << 20
    header_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="The largest request head; above it: 431.")
    ] = 32 << 10
    answer_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="The largest answer of an upstream, in memory.")
    ] = 64 << 20
    body_s: Annotated[
        int, Meta(ge=1, le=3600, description="How long a request's body may take to arrive.")
    ] = 30
    connect_s: Annotated[
        int, Meta(ge=1, le=600, description="How long connecting to an upstream may take.")
    ] = 5
    first_byte_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="How long an upstream may take from the request until the first byte of "
            "its answer's body: its first token.",
        ),
    ] = 120
    between_s: Annotated[
        int,
        Meta(ge=1, le=3600, description="How long an upstream may be silent between two bytes."),
    ] = 60
    total_s: Annotated[
        int, Meta(ge=1, le=86_400, description="How long a call may take as a whole.")
    ] = 600
    drain_s: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="How long calls may go on when the gateway is told to stop; then they are "
            "cut off, and recorded. A restart lets them go on for `total_s`.",
        ),
    ] = 20
    concurrency_max: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Calls in flight in one worker; those above it wait."),
    ] = 1024
    queue_calls_max: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Calls that wait in one worker, for the worker or for a deployment that "
            "is at its capacity; above it: 503.",
        ),
    ] = 256
    queue_s: Annotated[
        int, Meta(ge=1, le=600, description="How long a call waits at most; then: 503.")
    ] = 10
    retry_percent: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Attempts beyond the first, at most so many to a hundred calls (and ten, "
            "before there were any): when everything fails, load does not multiply.",
        ),
    ] = 20
    on_hangup: Annotated[
        HangupPolicy,
        Meta(
            description="What happens to the upstream when the caller hangs up: `cancel` stops it, "
            "`drain` reads it to its end. What was delivered is charged either way."
        ),
    ] = "cancel"


class ClerkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the clerk books the journal."""

    batch_calls_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="The most calls booked in one transaction.")
    ] = 20_000
    poll_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="How often the clerk looks for new records.")
    ] = 500
    lease_s: Annotated[
        int,
        Meta(
            ge=2,
            le=600,
            description="Of several machines: how long a clerk that is silent keeps its turn. It "
            "must be longer than booking one batch takes.",
        ),
    ] = 15


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the console listens, and for whom."""

    host: Annotated[
        str, Meta(min_length=1, description="The address on which the console listens.")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="Its TCP port; 0 takes any that is free.")
    ] = 8081
    key_env: Annotated[
        Name | None,
        Meta(
            description="The environment variable with the operator's key to the console, of 16 "
            "characters or more. Without one the operator is whoever asks from the console's own "
            "machine, through no proxy."
        ),
    ] = None
    gateways: Annotated[
        tuple[Name, ...],
        Meta(
            description="The gateways whose state is shown, as in `http://10.0.0.5:8080`; each "
            "must show its `metrics` to the console. Without one it is that of its own machine."
        ),
    ] = ()


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the machine the embedded engine takes."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="The address on which engines listen, and gateways find them, where "
            "there is a `port`.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65_000)] | None,
        Meta(
            description="The TCP port of the first deployment's engine; the next has the next. "
            "Without it each engine has a private socket, for gateways on its own machine."
        ),
    ] = None
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Threads that compute; on a busy machine they wait for each other.",
        ),
    ] = 1
    slots: Annotated[
        int, Meta(ge=1, le=64, description="Calls generated at once, in one batch.")
    ] = 4
    context_tokens: Annotated[
        int,
        Meta(
            ge=512,
            le=1 << 20,
            description="Tokens of context, divided among the slots: the prompt and the answer of "
            "one call fit in its slot's part.",
        ),
    ] = 8192


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the journal is cut into files."""

    segment_bytes_max: Annotated[
        int,
        Meta(ge=1 << 16, le=1 << 32, description="The size at which a segment is sealed."),
    ] = 64 << 20
    segment_s_max: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="Of several machines: the age at which a segment with records is sealed, "
            "and can be shipped. The books lag by about as much.",
        ),
    ] = 10


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told of calls, and to whom; never a key, a prompt or an answer."""

    metrics: Annotated[
        Audience,
        Meta(
            description="Who may read `/metrics` of the gateway: `loopback` whoever asks from this "
            "machine and through no proxy, `all` everybody, `off` nobody."
        ),
    ] = "loopback"
    metrics_customers_max: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="Customers that metrics name, those that call first; all others are "
            "`other`.",
        ),
    ] = 100
    access_log: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where each call is a line of JSON: `off`, `stderr`, or a file in the "
            "studio's folder or with its full path.",
        ),
    ] = "off"
    otlp_endpoint: Annotated[
        Annotated[str, Meta(pattern="^https?://[^/]")] | None,
        Meta(
            description="Where OpenTelemetry's traces and metrics are sent over OTLP, as in "
            "`http://127.0.0.1:4318`; nothing is sent without it."
        ),
    ] = None
    otlp_interval_s: Annotated[
        int, Meta(ge=1, le=3600, description="How often metrics are sent there.")
    ] = 10
    traces_percent: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="How many of the traces that begin here are sent; one that a caller began "
            "is sent when the caller samples it.",
        ),
    ] = 100
    queue_calls_max: Annotated[
        int,
        Meta(
            ge=100,
            le=1_000_000,
            description="Calls that may wait to be written or sent; beyond it they are dropped "
            "and counted.",
        ),
    ] = 10_000


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of the response cache: whose answers are kept, and for how long."""

    models: Annotated[
        tuple[Name, ...],
        Meta(
            description="The models whose answers are kept, as shell patterns; those of a rule "
            "that names keys alone are all."
        ),
    ] = ()
    keys: Annotated[
        tuple[Name, ...],
        Meta(
            description="The ids of the keys whose calls are answered from the cache, as shell "
            "patterns; those of a rule that names models alone are all."
        ),
    ] = ()
    ttl_s: Annotated[
        int, Meta(ge=1, le=30 * 86_400, description="How long an answer is given again.")
    ] = 3600
    bytes_max: Annotated[
        int,
        Meta(
            ge=1 << 20,
            le=1 << 36,
            description="Memory for the answers of this rule in one worker; beyond it the least "
            "recently used go.",
        ),
    ] = 64 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All tables of ``steelyard.toml`` that are settings."""

    studio: Annotated[StudioSettings, Meta(description="Whose studio this is.")]
    gateway: Annotated[
        GatewaySettings, Meta(description="Where the gateway listens, and what it bounds.")
    ] = msgspec.field(default_factory=GatewaySettings)
    clerk: Annotated[ClerkSettings, Meta(description="How the clerk books the journal.")] = (
        msgspec.field(default_factory=ClerkSettings)
    )
    console: Annotated[
        ConsoleSettings, Meta(description="Where the console listens, and for whom.")
    ] = msgspec.field(default_factory=ConsoleSettings)
    engine: Annotated[
        EngineSettings, Meta(description="How much of the machine the embedded engine takes.")
    ] = msgspec.field(default_factory=EngineSettings)
    journal: Annotated[JournalSettings, Meta(description="How the journal is cut into files.")] = (
        msgspec.field(default_factory=JournalSettings)
    )
    telemetry: Annotated[
        TelemetrySettings, Meta(description="What is told of calls, and to whom.")
    ] = msgspec.field(default_factory=TelemetrySettings)
    cache: Annotated[
        tuple[CacheSettings, ...],
        Meta(
            description="`[[cache]]`: a rule of the response cache. Without one nothing is cached; "
            "of several that fit a call the first holds."
        ),
    ] = ()
