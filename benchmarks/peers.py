"""Peers: what Steelyard is measured against, each installed for the benchmark, and Steelyard."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.load import (
    CACHE,
    ROOT,
    SETUP,
    MissingError,
    Mock,
    Way,
    free_ports,
    run,
    started,
    tool,
    wait_listening,
)
from steelyard.metering import segments
from steelyard.values.usage import UsageRecord

LITELLM = "1.106.2"
"""Later ones were reported as compromised when this was chosen."""

PORTKEY = "1.15.2"
PATH = "/v1/chat/completions"
PACED, ECHO = "m-paced", "m-echo"


class Peer(NamedTuple):
    """A running gateway: the way to the mock that answers at once, and to the one that doesn't."""

    pid: int
    port: int
    plain: Way
    paced: Way


Start = Callable[[Mock, Path], AbstractContextManager[Peer]]
"""Starts a gateway in front of a mock, with a folder of its own. Raises: MissingError."""


@contextmanager
def nginx(mock: Mock, folder: Path) -> Generator[Peer]:
    """A plain reverse proxy in C: the floor."""
    program = tool("nginx", "nginx-light")
    plain, paced = free_ports(2)
    _configure("nginx.conf", folder, mock, {"PLAIN": plain, "PACED": paced})
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    with started(command) as process:
        wait_listening(process, plain, paced)
        yield Peer(process.pid, plain, Way(_url(plain)), Way(_url(paced)))


@contextmanager
def litellm(mock: Mock, folder: Path, config: str = "litellm.yaml") -> Generator[Peer]:
    """LiteLLM's proxy, with a priced model and a master key."""
    home = CACHE / f"litellm-{LITELLM}"
    program = home / "bin" / "litellm"
    if not program.exists():
        _fresh(home)
        run([sys.executable, "-m", "venv", "--without-pip", str(home)])
        run(install(home, f"litellm[proxy]=={LITELLM}"))
    (port,) = free_ports(1)
    _configure(config, folder, mock, {})
    command = [str(program), "--config", config, "--port", str(port)]
    command += ["--host", "127.0.0.1"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with started(command, env=quiet, cwd=folder) as process:
        wait_listening(process, port)
        way = Way(_url(port), key="sk-master-0001")
        yield Peer(process.pid, port, way, way._replace(model=PACED))


@contextmanager
def portkey(mock: Mock, folder: Path) -> Generator[Peer]:
    """Portkey's gateway."""
    home = CACHE / f"portkey-{PORTKEY}"
    program = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not program.exists():
        _fresh(home)
        home.mkdir(parents=True)
        packages = [f"@portkey-ai/gateway@{PORTKEY}"]
        run([tool("npm", "npm"), "install", "--no-audit", "--no-fund", *packages], cwd=home)
    (port,) = free_ports(1)
    command = [tool("node", "nodejs"), str(program), f"--port={port}", "--headless"]
    with started(command, cwd=folder) as process:
        wait_listening(process, port)
        plain, paced = (
            Way(
                _url(port),
                model="mock-1",
                headers={
                    "x-portkey-provider": "openai",
                    "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
                },
            )
            for upstream in mock
        )
        yield Peer(process.pid, port, plain, paced)


@contextmanager
def steelyard(
    mock: Mock,
    folder: Path,
    *,
    program: Sequence[str] = ("-m", "steelyard.worker"),
    settings: str = "",
) -> Generator[Peer]:
    """Steelyard's worker with everything on, its settings as they come."""
    for name, text in STUDIO.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        written = text.replace("@SETTINGS@", settings)
        path.write_text(_filled(written, mock, {}), "utf-8")
    command = [sys.executable, *program, "--studio", str(folder)]
    keys = {"BENCH_KEY": "sk-bench", "UPSTREAM_KEY": "sk-upstream"}
    with started(command, env=keys, told=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            msg = "the worker does not start"
            raise MissingError(msg)
        port = msgspec.json.decode(line)["port"]
        way = Way(_url(port), key="sk-bench")
        yield Peer(process.pid, port, way, way._replace(model=PACED))


def records(folder: Path) -> Generator[UsageRecord]:
    """Every record in the journal of a studio."""
    for segment in segments.segments(folder / "journal"):
        for _, _, item in segments.read(segment.path):
            if isinstance(item, UsageRecord):
                yield item


PEERS: dict[str, Start] = {
    "nginx": nginx,
    "steelyard": steelyard,
    "portkey": portkey,
    "litellm": litellm,
}

STUDIO = {
    "steelyard.toml": """
[studio]
name = "Bench"
operator = "house"

[gateway]
port = 0
@SETTINGS@

[[earner]]
id = "house"

[[customer]]
id = "acme"

[[key]]
id = "acme-key"
contract = "acme"
models = ["m-*"]
secret_env = "BENCH_KEY"

[[model]]
id = "m-fast"
family = "Mock"
developer = "Bench"
licence = "Apache-2.0"
source = "https://example.org"
checked = 2026-11-24

[[model]]
id = "m-paced"
family = "Mock"
developer = "Bench"
licence = "Apache-2.0"
source = "https://example.org"
checked = 2026-11-24

[[model]]
id = "m-echo"
family = "Mock"
developer = "Bench"
licence = "Apache-2.0"
source = "https://example.org"
checked = 2026-11-24

[[deployment]]
id = "echo"
model = "m-echo"
kind = "echo"
provider = "house"

[[deployment]]
id = "fast"
model = "m-fast"
kind = "openai"
provider = "house"
url = "http://127.0.0.1:@UPSTREAM_PLAIN@/v1"
upstream_model = "mock-1"
key_env = "UPSTREAM_KEY"

[[deployment]]
id = "paced"
model = "m-paced"
kind = "openai"
provider = "house"
url = "http://127.0.0.1:@UPSTREAM_PACED@/v1"
upstream_model = "mock-1"
key_env = "UPSTREAM_KEY"
""",
    "contracts/acme.toml": """
id = "acme"
customer = "acme"
currency = "USD"
valid_from = 2026-01-01

[[price]]
model = "*"
per_million = { input = "1", output = "2" }
""",
}


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}{PATH}"


def _configure(name: str, folder: Path, mock: Mock, ports: Mapping[str, int]) -> None:
    text = (SETUP / name).read_text("utf-8")
    (folder / name).write_text(_filled(text, mock, ports), "utf-8")


def _filled(text: str, mock: Mock, ports: Mapping[str, int]) -> str:
    known = {"UPSTREAM_PLAIN": mock.plain, "UPSTREAM_PACED": mock.paced, **ports}
    for name, port in known.items():
        text = text.replace(f"@{name}@", str(port))
    return text


def _fresh(home: Path) -> None:
    """Nothing of an installation that was broken off."""
    shutil.rmtree(home, ignore_errors=True)


def install(home: Path, package: str) -> list[str]:
    """The command that installs a package into an environment. Raises: MissingError."""
    uv = ROOT / ".dev" / "uv" / "bin" / "uv"
    if not uv.exists():
        msg = f"{uv.relative_to(ROOT)} is not here; ./dev makes it"
        raise MissingError(msg)
    python = home / "bin" / "python"
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
    where = ["--default-index", index] if index else []
    return [str(uv), "pip", "install", "-q", "--python", str(python), *where, package]
