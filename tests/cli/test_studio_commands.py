from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from steelyard import studio
from steelyard.catalogue import offers
from steelyard.cli import init
from steelyard.cli.main import cli
from steelyard.governance import keys
from steelyard.values import periods
from steelyard.values.meters import COMPONENTS

NOVEMBER_US = periods.bounds_us(periods.month("2026-11"), "UTC")[0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run ``steelyard`` on a studio in a folder of its own, in a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("STEELYARD_DATABASE", raising=False)

    def runner(*arguments, status=0):
        result = CliRunner().invoke(cli, ["--studio", str(tmp_path), *arguments])
        assert result.exit_code == status, result.output
        return result

    return runner


@pytest.mark.parametrize("example", init.EXAMPLES)
def test_what_init_writes_is_sound(run, tmp_path, example):
    said = run("init", "--example", example).stdout
    assert f"wrote {tmp_path}/steelyard.toml" in said
    assert (tmp_path / ".gitignore").is_file()
    checked = run("check")
    assert checked.stdout.count(" is sound: ") == 1
    assert checked.stderr == ""


def test_init_overwrites_nothing(run, tmp_path):
    (tmp_path / "shares").mkdir()
    (tmp_path / "shares" / "usd.toml").write_text("mine")
    said = run("init", status=1).stderr
    assert "shares/usd.toml is there already, and nothing was written" in said
    assert (tmp_path / "shares" / "usd.toml").read_text() == "mine"
    assert not (tmp_path / "steelyard.toml").exists()


def test_init_takes_a_folder(run, tmp_path):
    run("init", str(tmp_path / "deep" / "er"))
    assert (tmp_path / "deep" / "er" / "contracts" / "acme-2026.toml").is_file()


def test_check_prints_each_fault_and_counts_them(run, tmp_path):
    run("init")
    main = tmp_path / "steelyard.toml"
    main.write_text(main.read_text().replace("port = 8080", "prot = 8080"))
    result = run("check", status=1)
    place = next(
        n for n, line in enumerate(main.read_text().splitlines(), 1) if line.startswith("prot")
    )
    assert result.stdout == (
        f'steelyard.toml:{place}:1: unknown field "prot"; did you mean "port"?\n'
    )
    assert result.stderr == "1 fault\n"


def test_check_for_a_machine(run, tmp_path):
    run("init", "--example", "market")
    found = json.loads(run("check", "--json").stdout)
    assert found["sound"] is True
    assert found["counts"]["customers"] == 4
    (tmp_path / "contracts" / "acme-list.toml").write_text("id = ")
    found = json.loads(run("check", "--json", status=1).stdout)
    assert found["sound"] is False
    assert [(each["file"], each["line"]) for each in found["faults"]] == [
        ("contracts/acme-list.toml", 1)
    ]


def test_secrets_are_looked_for_unless_told_not_to(run, tmp_path):
    run("init")
    main = tmp_path / "steelyard.toml"
    key = '[[key]]\nid = "app"\ncontract = "acme-2026"\nsecret_env = "NO_SUCH_VARIABLE"\n'
    main.write_text(main.read_text() + key)
    assert "NO_SUCH_VARIABLE is not set" in run("check", status=1).stdout
    assert "1 declared key" in run("check", "--without-secrets").stdout
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [(each["id"], each["declared"], each["hint"]) for each in listed] == [
        ("app", True, "$NO_SUCH_VARIABLE")
    ]
    assert "declared in steelyard.toml" in run("keys", "revoke", "app", status=1).stderr


@pytest.mark.parametrize(
    "command",
    [["keys", "list"], ["models"], ["prices", "glm-5"], ["keys", "create", "acme"]],
)
def test_every_other_command_refuses_a_faulty_studio(run, tmp_path, command):
    run("init")
    (tmp_path / "shares" / "usd.toml").write_text('id = "x"\n')
    result = run(*command, status=1)
    assert result.stdout == ""
    assert 'shares/usd.toml:1:1: "currency" is missing; write currency = "CNY"' in result.stderr
    assert "The studio is faulty, so nothing was done." in result.stderr


def test_a_key_is_shown_once_and_kept_hashed(run, tmp_path):
    run("init")
    result = run("keys", "create", "acme", "--name", "app", "--models", "smollm2-*")
    secret = result.stdout.strip()
    assert re.fullmatch(r"sk-sy-[0-9A-Za-z]{43}", secret)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()
    (listed,) = json.loads(run("keys", "list", "--json").stdout)
    assert listed["hint"] == keys.hint(secret)
    assert (listed["contract"], listed["models"], listed["revoked"]) == (
        "acme-2026",
        ["smollm2-*"],
        None,
    )
    assert secret not in run("keys", "list").stdout
    assert run("keys", "revoke", listed["id"]).stdout == f"{listed['id']} is revoked.\n"
    (listed,) = json.loads(run("keys", "list", "--json").stdout)
    assert listed["revoked"] is not None
    assert "revoked" in run("keys", "list").stdout


RIGHTS = ["--workspace", "lab", "--priority", "7", "--routing", "--regions", "*"]


def test_what_a_key_may_is_said_and_changed(run):
    run("init")
    made = json.loads(run("keys", "create", "acme", "--json", *RIGHTS).stdout)
    said = {"workspace": "lab", "priority": 7, "routing": True, "regions": ["*"], "models": ["*"]}
    assert said.items() <= made.items()
    command = ("keys", "change", made["id"])
    shown = run(*command, "--models", "smollm2-*", "--no-routing", "--workspace", "").stdout
    assert "smollm2-*, priority 7" in shown
    (listed,) = json.loads(run("keys", "list", "--json").stdout)
    changed = {"workspace": None, "priority": 7, "routing": False, "models": ["smollm2-*"]}
    assert changed.items() <= listed.items()
    assert "Say what is to change" in run(*command, status=1).stderr
    assert 'there is no key "k"' in run("keys", "change", "k", "--priority", "1", status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["acme", "--regions", "mars"], '"mars" matches no region of a deployment'),
        (["acme", "--workspace", "a/b"], '"a/b" is no workspace'),
        (["acne"], 'unknown customer "acne"; did you mean "acme"?'),
        (["acme", "--contract", "acme-2027"], 'acme has no contract "acme-2027"; did you mean'),
        (["acme", "--models", "gpt-*"], '"gpt-*" matches no model'),
    ],
)
def test_a_key_for_nothing_is_not_made(run, arguments, sentence):
    run("init")
    assert sentence in run("keys", "create", *arguments, status=1).stderr
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_revoking_a_key_that_is_not_there_says_so(run):
    run("init")
    assert 'there is no key "k"' in run("keys", "revoke", "k", status=1).stderr


def test_the_catalogue_is_shown_without_a_studio(run, golden):
    golden("cli/models-minimax.txt", run("models", "--family", "minimax").stdout)
    golden("cli/prices-qwen3-max.txt", run("prices", "qwen3-max", "--at", "2026-11-24").stdout)
    golden("cli/prices-glm-5-all.txt", run("prices", "glm-5", "--all").stdout)


def test_models_for_a_machine(run):
    found = json.loads(run("models", "--family", "GLM", "--json").stdout)
    assert {each["developer"] for each in found} == {"Zhipu"}
    assert {each["weights"] for each in found} == {"open", "closed"}
    assert "did you mean" in run("models", "--family", "Qwem", status=1).stderr


@pytest.mark.parametrize(
    ("at", "price"),
    [
        ("2026-02-11T20:14:02Z", "1"),
        ("2026-02-11T20:14:03Z", "0"),
        ("2026-02-12T04:33:39+08:00", "1"),
    ],
)
def test_prices_at_an_instant(run, at, price):
    books = json.loads(run("prices", "glm-5", "--at", at, "--json").stdout)
    (zai,) = [book for book in books if book["book"] == "zai-usd"]
    assert zai["prices"][0]["tiers"][0]["per_million"]["input_tokens"] == price


def test_a_model_or_a_date_that_is_none_is_refused(run):
    assert 'did you mean "qwen3-max"?' in run("prices", "qwen3-mux", status=1).stderr
    assert "is no date" in run("prices", "glm-5", "--at", "soon", status=2).stderr
    assert "on no list at 2020-01-01" in run("prices", "glm-5", "--at", "2020-01-01").stdout


MIX = {
    "input_tokens": 1500,
    "cached_input_tokens": 500,
    "output_tokens": 400,
    "reasoning_tokens": 100,
    "compute_ms": 6000,
    "egress_bytes": 3000,
    "requests": 1,
}


def test_prices_say_when_they_are_others(run):
    shown = " ".join(run("prices", "deepseek-v4-pro", "--at", "2026-11-24").stdout.split())
    assert (
        "From 2026-08-17: Prices are multiplied by 2 from 09:00 to 12:00 and from 14:00 to 18:00, "
        "Monday to Friday without public holidays of China, by the clock of Asia/Shanghai; the "
        "beginning of the call decides."
    ) in shown
    (cny, _) = json.loads(run("prices", "deepseek-v4-pro", "--at", "2026-11-24", "--json").stdout)
    (window,) = cny["prices"][0]["calendar"]
    assert (window["factor_ppm"], window["days"]) == (2_000_000, [0, 1, 2, 3, 4])


def test_the_market_leaves_a_margin_but_on_the_free_tier(tmp_path):
    init.write(tmp_path, "market")
    edition = studio.load(tmp_path, {}).edition
    sold = 0
    for contract in edition.contracts:
        for deployment in edition.deployments:
            names = (contract.id, deployment.model, deployment.id)
            offer = offers.at(offers.timeline(edition, *names), NOVEMBER_US)
            if offer is None or offer.tariff is None:
                continue
            sold += 1
            assert tuple(rule.component for rule in offer.costs) == COMPONENTS, names
            rates = offers.tier_for(offer.tariff, 2000).rates.prices
            price = sum(units * rates.get(meter, 0) for meter, units in MIX.items())
            costs = [
                sum(units * rule.rates.prices.get(meter, 0) for meter, units in MIX.items())
                for rule in offer.costs
            ]
            if contract.id == "freelab-free":
                assert price == 0 < sum(costs), names
            else:
                assert 100 * sum(costs) < 90 * price, names
                assert 18 * price < 100 * costs[0] < 36 * price, names
    assert sold > 40
