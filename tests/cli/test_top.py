"""``steelyard top``: a real gateway, looked at twice, and what can't be looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from steelyard.cli.main import cli
from steelyard.cli.top_screen import rate, short, sparkline, times
from steelyard.lab.pulse import Quantiles
from tests.fixtures.gateway import Deployed, Gateway, running

pytestmark = pytest.mark.xdist_group("top")

CALLS = 5
HELLO: Any = [{"role": "user", "content": "good morning"}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("top")
    with running(folder, [Deployed("echo-2")]) as started:
        yield started


@pytest.fixture
def busy(gateway, monkeypatch) -> Gateway:
    """A gateway that answers CALLS calls between two looks, instead of the time between them."""

    def call(_: float) -> None:
        with gateway.client() as client:
            for _ in range(CALLS):
                for _ in client.chat.completions.create(
                    model="echo-1", messages=HELLO, stream=True, extra_body={"echo": {"words": 5}}
                ):
                    pass

    clocks = SimpleNamespace(monotonic=time.monotonic, sleep=call)
    monkeypatch.setattr("steelyard.cli.top.time", clocks)
    return gateway


def top(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == status, result.output
    return result


def test_once_tells_calls_tokens_and_money(busy):
    studio = ("--studio", str(busy.folder))
    said = json.loads(top(*studio, "top", "--once", "--json", "--url", busy.url).stdout)
    assert said["workers"] == 1
    (model,) = said["models"]
    (customer,) = said["customers"]
    assert (model["name"], customer["name"]) == ("echo-1", "acme")
    assert model["calls"] == pytest.approx(CALLS / said["seconds"], rel=0.1)
    assert model["first_token_ms"]["p50"] > 0
    assert set(model["charged"]) == {"USD"}
    # Two tokens in and five out, at 1 and 2 dollars per million.
    priced = CALLS * (2 + 2 * 5) / 1e6 / said["seconds"]
    assert float(model["charged"]["USD"]) == pytest.approx(priced, rel=0.1)
    assert said["all"]["charged"] == model["charged"]
    (place,) = said["deployments"]
    assert place["name"] == "echo-1"


def test_once_is_a_table_for_people(busy):
    said = top("--studio", str(busy.folder), "top", "--once", "--url", busy.url).stdout
    for word in ("echo-1", "acme", "calls/s", "charged/s", "$"):
        assert word in said


def test_without_a_studio_it_shows_no_money(gateway, tmp_path):
    arguments = ("--studio", str(tmp_path), "top", "--once", "--json", "--every", "0.2")
    said = json.loads(top(*arguments, "--url", gateway.url).stdout)
    assert said["all"]["charged"] is None


FAULTS = [
    (("--url", "http://127.0.0.1:9"), "no gateway answers at http://127.0.0.1:9"),
    (("--url", "http://127.0.0.1:port"), "no gateway answers at"),
    ((), "there is no steelyard.toml here"),
]


@pytest.mark.parametrize(("arguments", "sentence"), FAULTS)
def test_what_can_not_be_looked_at(tmp_path, arguments, sentence):
    said = top("--studio", str(tmp_path), "top", "--once", *arguments, status=1)
    assert sentence in said.stderr


def test_a_gateway_that_hides_its_metrics(tmp_path):
    with running(tmp_path, [], "\n[telemetry]\nmetrics = 'off'") as started:
        said = top("--studio", str(tmp_path), "top", "--once", "--url", started.url, status=1)
    assert "see `metrics` under [telemetry]" in said.stderr


def test_any_port_is_no_place_to_look(gateway):
    said = top("--studio", str(gateway.folder), "top", "--once", status=1)
    assert "name the gateway by --url" in said.stderr


RATES = [(0, "0"), (0.0312, "0.0312"), (12.54, "12.5"), (999.6, "1,000")]
RATES += [(3456, "3,456"), (12_345, "12.3k"), (4_567_890, "4.6M")]


@pytest.mark.parametrize(("number", "text"), RATES)
def test_a_rate_is_short(number, text):
    assert rate(number) == text


AMOUNTS = [("0.000012345678", "0.00001234"), ("12.3456", "12.34"), ("7", "7.00"), ("0", "0")]


@pytest.mark.parametrize(("amount", "text"), AMOUNTS)
def test_an_amount_is_cut_to_digits_that_say_something(amount, text):
    assert short(amount) == text


def test_long_times_are_seconds():
    assert times(Quantiles(210.4, 480.0)) == "210 / 480"
    assert times(Quantiles(2_500.0, 12_000.0)) == "2.5 / 12.0 s"
    assert times(Quantiles(None, None)) == "–"


def test_a_sparkline_is_as_high_as_its_highest():
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([0, 0]) == ""
