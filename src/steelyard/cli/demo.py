"""``steelyard demo``: a market in small, from the first call to the audit, with real parts.

It only does what a person would type: each step prints its command and runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.rule import Rule

from steelyard.cli import demo_calls
from steelyard.system import SystemClock
from steelyard.values import periods

FOLDER: Final = Path("demo-studio")
TRACES: Final = Path("examples") / "traces"
MARK: Final = ".made-by-demo"
CUSTOMERS: Final = {
    "acme": "acme-list",
    "bigcorp": "bigcorp-enterprise",
    "freelab": "freelab-free",
    "resell": "resell-one",
}
STOP_S: Final = 60.0
SAMPLE_S: Final = 0.25


class Trace(NamedTuple):
    """A file, and under which contract it is imported as which models."""

    what: str
    file: str
    options: str


AZURE: Final = "AzureLLMInferenceTrace_conv.csv.gz"
MOONCAKE: Final = "mooncake_conversation_trace.jsonl.gz"
SERVEGEN: Final = "servegen_resampled_requests.csv.gz"
IMPORTS: Final = (
    Trace(
        "Kimi in production, an hour with its cached prefixes: Acme's chat on Kimi",
        MOONCAKE,
        "--format mooncake --contract acme-list --model kimi-k2.6",
    ),
    Trace(
        "Alibaba Bailian, a day: Acme's images on Qwen, its small calls on Hunyuan",
        SERVEGEN,
        "--format servegen --contract acme-list "
        "--by-model mm-image=qwen3-vl-plus --by-model m-small=hy3-preview",
    ),
    Trace(
        "Azure's conversation service, an hour: BigCorp's assistant on GLM",
        AZURE,
        "--format azure --contract bigcorp-enterprise --model glm-5.3",
    ),
    Trace(
        "The same day at Bailian: BigCorp on Qwen and Doubao",
        SERVEGEN,
        "--format servegen --contract bigcorp-enterprise "
        "--by-model m-large=qwen3-max --by-model m-mid=doubao-seed-2.0-pro",
    ),
    Trace(
        "The same day: students on the free tier",
        SERVEGEN,
        "--format servegen --contract freelab-free --by-model m-small=qwen-flash",
    ),
    Trace(
        "The same day: the reseller's calls of DeepSeek and MiniMax, in USD",
        SERVEGEN,
        "--format servegen --contract resell-one "
        "--by-model deepseek-r1=deepseek-v4-pro --by-model m-mid=MiniMax-M3",
    ),
)


@click.command("demo")
@click.option(
    "--traces",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=TRACES,
    show_default=True,
    help="The folder with the traces.",
)
@click.pass_obj
def command(folder: Path, traces: Path) -> None:
    """Make a studio, call a real model, import real traffic, close the month, audit the books.

    The studio is made anew in demo-studio, or where --studio says, and stays for you to look at.
    """
    began_s = time.monotonic()
    console = Console(highlight=False)
    studio = Studio(FOLDER if folder == Path() else folder, console)
    with _memory() as peak:
        studio.make()
        with studio.serving() as url:
            studio.step("Real calls, by the official openai client")
            demo_calls.call(console, url, studio.keys)
            studio.take_in(traces)
        month = str(periods.month_of(SystemClock().wall_us(), "Asia/Shanghai"))
        documents = {**studio.close(month), "money": studio.show(month)}
        sound = studio.audit()
    studio.step("Done")
    for title, paths in documents.items():
        for path in paths[:3]:
            console.print(f"{title:<10} {path}", soft_wrap=True)
    console.print(f"books      {'whole' if sound else 'NOT whole: see above'}")
    took_s = time.monotonic() - began_s
    console.print(f"took       {took_s:.0f} s, {peak.mib:,} MiB of memory at the most")
    console.print(f"go on      ./dev run steelyard --studio {studio.folder} up")
    raise SystemExit(0 if sound else 1)


class Studio:
    """The demo's studio, and the commands run on it."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.keys: dict[str, str] = {}
        self._console = console
        self._steps = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self._steps += 1
        self._console.print()
        self._console.print(Rule(f"[bold]{self._steps}  {title}[/bold]", align="left"))

    def make(self) -> None:
        """Write the studio and make a key for each customer."""
        self.step("A studio: four customers on four contracts, a provider of each family")
        if self.folder.exists():
            if not (self.folder / MARK).exists():
                click.echo(f"{self.folder} is there, and no demo made it; name another", err=True)
                raise SystemExit(1)
            shutil.rmtree(self.folder)
        self._run("init", "--example", "market", quiet=True)
        (self.folder / MARK).touch()
        self._run("check")
        for customer, contract in CUSTOMERS.items():
            made = self._run(
                "keys", "create", customer, "--contract", contract, "--json", quiet=True
            )
            self.keys[customer] = json.loads(made)["secret"]

    @contextlib.contextmanager
    def serving(self) -> Generator[str]:
        """Gateway, engine and clerk, for as long as this lasts; gives the base URL."""
        self.step("Gateway, engine and clerk")
        argv = self._argv("up", "--port", "0", "--json")
        self._say("up", "--port", "0")
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(process.wait() or 1)
            ready = json.loads(line)
            pids = ", ".join(f"{name} {pid}" for name, pid in ready["pids"].items())
            self._console.print(f"serves at {ready['url']}  ({pids})")
            try:
                yield ready["url"]
            finally:
                process.terminate()
                process.wait(STOP_S)

    def take_in(self, traces: Path) -> None:
        """Import the traces, while the clerk books what is already there."""
        start = f"{periods.month_of(SystemClock().wall_us(), 'Asia/Shanghai')}-01T09:00"
        self.step("Real traffic under these contracts")
        for trace in IMPORTS:
            self._console.print(f"[dim]{trace.what}[/dim]")
            self._run("import", str(traces / trace.file), *trace.options.split(), "--start", start)

    def close(self, month: str) -> dict[str, list[str]]:
        """Close the month; the paths of its documents by kind."""
        self.step("Close the month: invoices to those who pay, statements to those who earn")
        self._run("close", month, "--early")
        folder = self.folder / "documents" / month
        return {
            "invoices": sorted(str(path) for path in folder.glob("invoices/*.html")),
            "statements": sorted(str(path) for path in folder.glob("statements/*.html")),
        }

    def show(self, month: str) -> list[str]:
        """Show where the money goes; the page's path."""
        self.step("Where the money goes")
        page = self.folder / "documents" / f"money-{month}.html"
        self._run("report", "money", "--period", month, "--html", str(page))
        return [str(page)]

    def audit(self) -> bool:
        """Rebuild the books from the journal; whether they are whole."""
        self.step("Audit: rebuild everything from the journal, and compare")
        self._say("audit")
        return subprocess.run(self._argv("audit"), check=False).returncode == 0

    def _argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "steelyard", "--studio", str(self.folder), *arguments]

    def _say(self, *arguments: str) -> None:
        self._console.print(
            f"[bold cyan]$ steelyard {' '.join(arguments)}[/bold cyan]", soft_wrap=True
        )

    def _run(self, *arguments: str, quiet: bool = False) -> str:
        """Run a command as a person would; with ``quiet`` its output is only given."""
        self._say(*arguments)
        ended = subprocess.run(
            self._argv(*arguments),
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE if quiet else None,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            click.echo(ended.stderr or "", err=True)
            raise SystemExit(ended.returncode)
        return ended.stdout or ""


class Peak:
    """The most memory that this process and all it started have held. Unit: MiB."""

    mib: int = 0


@contextlib.contextmanager
def _memory() -> Generator[Peak]:
    """Watch the memory for as long as this lasts; stays at 0 where there is no ``/proc``."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            peak.mib = max(peak.mib, _resident_mib(os.getpid()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _resident_mib(root: int) -> int:
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            after_name = status.read_text().rpartition(")")[2].split()
            pid = int(status.parent.name)
            parents[pid], pages[pid] = int(after_name[1]), int(after_name[21])
    return (
        sum(pages[pid] for pid in pages if root in _ancestors(pid, parents))
        * os.sysconf("SC_PAGE_SIZE")
        // 2**20
    )


def _ancestors(pid: int, parents: dict[int, int]) -> Sequence[int]:
    line: list[int] = []
    while pid and pid not in line:
        line.append(pid)
        pid = parents.get(pid, 0)
    return line
