"""What `deploy/` says is held against the program: units, Compose, chart."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
import yaml

from steelyard import app, covering, machines
from steelyard.cli.main import cli
from steelyard.cli.up import ROLES
from steelyard.settings import ConsoleSettings, GatewaySettings
from tests.fixtures import chart
from tests.fixtures.gateway import write_studio
from tests.fixtures.whole import up

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {
    covering.ALLOWANCES_VARIABLE,
    app.DATABASE_VARIABLE,
    machines.VARIABLE,
    "STEELYARD_STUDIO",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
}


def parses(words: list[str]) -> None:
    """The program has this command and these options."""
    assert words[0] == "steelyard"
    command = cli.get_command(click.Context(cli), words[1])
    assert command is not None, words
    command.make_context(words[1], words[2:], resilient_parsing=False)


def unit(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
@pytest.mark.parametrize("role", ROLES)
def test_units_run_commands_that_there_are(path, role):
    for name in ("ExecStart", "ExecReload"):
        (line,) = unit(path)[name]
        words = line.replace("%i", role).split()
        if words == ["/bin/kill", "-HUP", "$MAINPID"]:
            continue
        assert words[0] == "/usr/bin/env"
        parses(words[1:])


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="this machine has no systemd to ask"
)
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong_with_a_unit(path, tmp_path):
    copied = tmp_path / path.name.replace("@", "@gateway")
    copied.write_text(path.read_text("utf-8"), "utf-8")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copied)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    about = [line for line in ran.stderr.splitlines() if copied.stem in line]
    assert (ran.returncode, about) == (0, [])


class Manager(ExitStack):
    """A service manager's socket, and the environment of what it starts."""

    def __init__(self) -> None:
        super().__init__()
        address = f"steelyard-test-{os.getpid()}"
        self.env = {"NOTIFY_SOCKET": f"@{address}"}
        self._socket = self.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._socket.bind(f"\0{address}")
        self._socket.settimeout(30)

    def hears(self) -> list[str]:
        return self._socket.recv(1000).decode().splitlines()

    def hears_but(self, dull: list[str]) -> list[str]:
        while (heard := self.hears()) == dull:
            pass
        return heard


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager() as made:
        yield made


def test_a_service_manager_is_told_what_goes_on(tmp_path, manager):
    write_studio(tmp_path, [], "drain_s = 3")
    with up(tmp_path, env=manager.env) as studio:
        assert manager.hears() == ["READY=1"]
        with studio.client() as client:
            assert client.models.list().data
        assert studio.run("reload").returncode == 0
        began, at = manager.hears()
        assert (began, manager.hears()) == ("RELOADING=1", ["READY=1"])
        assert at.startswith("MONOTONIC_USEC=")
        (tmp_path / "steelyard.toml").write_text("faulty", "utf-8")
        assert studio.run("reload").returncode == 1
        assert manager.hears()[0] == "RELOADING=1"
        assert manager.hears() == ["READY=1"], "what was published before is served"
        studio.process.send_signal(signal.SIGHUP)
        assert manager.hears()[0] == "RELOADING=1"
        assert manager.hears() == ["READY=1"]
    stopping, longer = manager.hears()
    assert stopping == "STOPPING=1"
    _, _, given_us = longer.partition("EXTEND_TIMEOUT_USEC=")
    assert int(given_us) > 3_000_000, "calls have drain_s, and the clerk its time"


def test_a_service_manager_hears_that_the_loop_comes_round(tmp_path, manager):
    write_studio(tmp_path, [])
    with up(tmp_path, "--role", "clerk", env={**manager.env, "WATCHDOG_USEC": "100000"}) as studio:
        assert manager.hears_but(["WATCHDOG=1"]) == ["READY=1"]
        for _ in range(5):
            assert manager.hears() == ["WATCHDOG=1"]
        studio.process.send_signal(signal.SIGHUP)
        assert manager.hears() == ["WATCHDOG=1"], "a clerk has nothing to read anew, and goes on"
    assert manager.hears_but(["WATCHDOG=1"])[0] == "STOPPING=1"


def test_whom_the_watchdog_is_not_for_says_nothing(tmp_path, manager):
    write_studio(tmp_path, [])
    other = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with up(tmp_path, "--role", "clerk", env={**manager.env, **other}):
        assert manager.hears() == ["READY=1"]
    assert manager.hears()[0] == "STOPPING=1"


def test_the_image_is_made_from_files_that_there_are():
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    for name in " ".join(copied).split():
        assert (DEPLOY.parent / name).exists(), name
    for line in re.findall(r"^CMD (.*)$", text, re.MULTILINE):
        parses(yaml.safe_load(line))


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))


def test_compose_runs_commands_that_there_are():
    services = compose()["services"]
    ours = {name: each for name, each in services.items() if "STEELYARD_STUDIO" in str(each)}
    assert len(ours) == 5
    for name, each in ours.items():
        parses(each["command"])
        role = each["command"][each["command"].index("--role") + 1]
        assert name.startswith(role)
        assert set(each["environment"]) == KNOWN | ({"CONSOLE_KEY"} if role == "console" else set())
        assert set(each["depends_on"]) <= set(services)


def test_compose_names_only_what_it_has():
    whole = compose()
    named = {
        volume.split(":")[0]
        for each in whole["services"].values()
        for volume in each.get("volumes", [])
        if not volume.startswith(".")
    }
    assert named == set(whole["volumes"])
    hosts = set(re.findall(r"(?:@|//)([a-z]+)[:/]", str(whole["x-steelyard"]["environment"])))
    assert hosts - {"steelyard"} <= set(whole["services"])


CHART = DEPLOY / "helm" / "steelyard"
OTHERS = {
    "image": "registry.example/steelyard:1",
    "studioConfigMap": "their-studio",
    "gateway": {"workers": 16, "port": 9000, "resources": {"limits": {"memory": "2Gi"}}},
}


def rendered(values: dict | None = None) -> dict[tuple[str, str], dict]:
    every = chart.documents(CHART, "s", values)
    found = {(each["kind"], each["metadata"]["name"]): each for each in every}
    assert list(found) == [
        ("StatefulSet", "s-clerk"),
        ("Deployment", "s-console"),
        ("StatefulSet", "s-gateway"),
        ("Service", "s"),
        ("Service", "s-console"),
    ]
    return found


def pods(values: dict | None = None) -> dict[str, dict]:
    """The pods of each part, and the claims that they come with."""
    found = {}
    for (kind, name), each in rendered(values).items():
        if kind != "Service":
            template = each["spec"]["template"]
            assert each["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
            claims = each["spec"].get("volumeClaimTemplates", [])
            named = {claim["metadata"]["name"] for claim in claims}
            found[name.removeprefix("s-")] = {**template["spec"], "claims": named}
    return found


@pytest.mark.parametrize("values", [None, OTHERS], ids=["its own values", "others"])
def test_the_chart_starts_parts_that_there_are(values):
    for role, pod in pods(values).items():
        (container,) = pod["containers"]
        (before,) = pod["initContainers"]
        words = [str(word) for word in container["command"]]
        parses(words)
        assert words[words.index("--role") + 1] == role
        assert container["env"] == [{"name": "STEELYARD_STUDIO", "value": "/studio"}]
        user = re.search(r"--uid (\d+)", (DEPLOY / "Dockerfile").read_text("utf-8"))
        assert user
        assert pod["securityContext"]["fsGroup"] == int(user[1]), "who runs may write the volume"
        rooms = {each["name"] for each in pod["volumes"]} | pod["claims"]
        for each in (container, before):
            assert {mount["name"] for mount in each["volumeMounts"]} <= rooms
        ports = {each["name"] for each in container.get("ports", ())}
        for probe in ("readinessProbe", "livenessProbe"):
            if probe in container:
                assert container[probe]["httpGet"]["port"] in ports


def test_the_chart_and_the_settings_agree():
    gateway, console = (pods()[role] for role in ("gateway", "console"))
    assert gateway["containers"][0]["ports"][0]["containerPort"] == GatewaySettings().port
    assert console["containers"][0]["ports"][0]["containerPort"] == ConsoleSettings().port
    assert gateway["terminationGracePeriodSeconds"] > GatewaySettings().drain_s + 30
    assert gateway["claims"] == {"studio"}, "the journal outlives the pod"


def test_other_values_arrive():
    container = pods(OTHERS)["gateway"]["containers"][0]
    assert container["image"] == "registry.example/steelyard:1"
    assert container["command"][-1] == "16"
    assert container["ports"][0]["containerPort"] == 9000
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    given = {each["name"]: each for each in pods(OTHERS)["clerk"]["volumes"]}
    assert given["given"]["configMap"]["name"] == "their-studio"


def test_services_lead_to_pods():
    every = rendered()
    labels = {
        name: each["spec"]["template"]["metadata"]["labels"].items()
        for (kind, name), each in every.items()
        if kind != "Service"
    }
    led = {
        name: [pod for pod, found in labels.items() if each["spec"]["selector"].items() <= found]
        for (kind, name), each in every.items()
        if kind == "Service"
    }
    assert led == {"s": ["s-gateway"], "s-console": ["s-console"]}


def test_the_studio_is_laid_out_as_its_files_are_named(tmp_path):
    """What the first container runs, run: files of a ConfigMap become a studio's folder."""
    given, studio = tmp_path / "given", tmp_path / "studio"
    given.mkdir()
    whole = write_studio(tmp_path / "whole", [])
    shutil.copy(whole / "steelyard.toml", given / "steelyard.toml")
    for path in (whole / "contracts").iterdir():
        shutil.copy(path, given / f"contracts.{path.name}")
    studio.mkdir()
    script = pods()["clerk"]["initContainers"][0]["command"][-1]
    script = script.replace("/given", str(given)).replace("/studio", str(studio))
    subprocess.run(["sh", "-euc", script], check=True)
    assert app.load_studio(studio).edition == app.load_studio(whole).edition


def test_every_value_of_the_chart_is_asked_for():
    given = set(values(yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))))
    texts = [path.read_text("utf-8") for path in (CHART / "templates").iterdir()]
    asked = set(re.findall(r"\.Values((?:\.\w+)+)", "".join(texts)))
    assert asked <= given
    leaves = {each for each in given if not any(other.startswith(each + ".") for other in given)}
    unasked = {each for each in leaves if not any(each.startswith(of) for of in asked)}
    assert unasked == set()


def values(found: object, before: str = "") -> Iterator[str]:
    if isinstance(found, dict):
        for name, value in found.items():
            yield f"{before}.{name}"
            yield from values(value, f"{before}.{name}")


def test_more_than_is_rendered_is_refused(tmp_path):
    shutil.copytree(CHART, tmp_path / "chart")
    template = tmp_path / "chart" / "templates" / "more.yaml"
    template.write_text('a: {{ lookup "v1" "Secret" }}\n', "utf-8")
    with pytest.raises(ValueError, match="nobody renders"):
        list(chart.documents(tmp_path / "chart", "s"))
