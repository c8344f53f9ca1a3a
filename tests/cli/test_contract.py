"""Contracts checked, shown, compared and read aloud; a call's price told step by step."""

from __future__ import annotations

import json
import string

import pytest
from click.testing import CliRunner

from steelyard.catalogue.items.phrases import ITEM_PHRASES
from steelyard.catalogue.phrases import METERS_ZH, PHRASES
from steelyard.cli.main import cli
from steelyard.values.meters import ALL_METERS

STUDIO = {
    "steelyard.toml": """
[studio]
name = "Orchard"
operator = "orchard"
zone = "Asia/Shanghai"

[[customer]]
id = "acme"
name = "Acme Robotics"

[[earner]]
id = "orchard"
name = "Orchard"
""",
    "shares/cny.toml": """
id = "costs"
currency = "CNY"
valid_from = 2026-01-01

[[cost]]
component = "scheduling"
earner = "orchard"
per_million = { input = "0.5" }
""",
    "contracts/old.toml": """
id = "acme-2026"
customer = "acme"
title = "Acme, yearly"
currency = "CNY"
valid_from = 2026-01-01
terms = { due_days = 14, credit_limit = "50000.00" }

[[price]]
model = "deepseek-*"
book = "deepseek-cny"
discount = "12.5%"
""",
    "contracts/new.toml": """
id = "acme-2026"
customer = "acme"
title = "Acme, yearly"
currency = "CNY"
valid_from = 2026-11-01
terms = { due_days = 14, credit_limit = "50000.00" }

[[price]]
model = "deepseek-*"
service_tier = "batch"
book = "deepseek-cny"
discount = "50%"
calendar = []

[[price]]
model = "deepseek-*"
book = "deepseek-cny"
discount = "12.5%"

[[price]]
model = "qwen-plus"
mode = "thinking"
region = "cn-*"
tiers = "progressive"
boundary = "open"
tier = [
  { up_to = 32_000, per_million = { input = "1", output = "8" }, per_unit = { requests = "0.01" } },
  { per_million = { input = "1.33", output = "9" }, per_unit = { requests = "0.02" } },
]

[[price]]
model = "glm-5.3"
tiers = "graduated"
shared = true
tier = [
  { up_to = 1000, per_million = { input = "8", output = "28" } },
  { per_million = { input = "6", output = "20" } },
]

[[price]]
model = "qwen3.7-plus"
tiers = "volume"
per = "week"
boundary = "open"
tier = [
  { up_to = 1500, per_million = { input = "2", output = "12" } },
  { per_million = { input = "1.5", output = "9" } },
]

[[price]]
model = "qwen3-vl-plus"
per_million = { input = "1", output = "10" }
block = 100
per_block = { images = "0.5", tool_calls = "2" }

[[price]]
model = "qwen3-32b"
per_million = { input = "2", output = "8" }
minimum = "0.01"

[[price]]
model = "*"
per_million = { input = "2", output = "6" }
calendar = [
  { factor = "0.5", days = "workdays CN", hours = ["22:00-06:00"], by = "end" },
  { discount = "25%", days = ["sat", "sun"] },
]

[[grant]]
id = "welcome"
model = "kimi-*"
service_tier = "standard"
tokens = 1200
from = 2026-11-01
until = 2027-02-01

[[grant]]
id = "calls"
model = "*"
meter = "requests"
units = 1000
from = 2026-11-01
every = "month"
shared = true

[[grant]]
id = "gift"
model = "MiniMax-M*"
amount = "0.0005"
from = 2026-11-03
backdated = 2026-11-01
until = 2027-01-01
by = "end"

[[grant]]
id = "pack"
model = ["kimi-k2*", "glm-4*"]
tokens = 1_000_000
item_price = "4"
from = 2026-11-01
not_service_tier = ["batch", "flex"]
cached = "charged"
paid = true

[[subscription]]
id = "coding-plan"
model = ["kimi-k2*", "MiniMax-M2*"]
from = 2026-11-05
includes = { calls = { month = 90_000, week = 45_000, "5h" = 6_000 } }
burn = [{ model = "kimi-k2.7-code-highspeed", each = "3" }, { each = "1" }]
used_up = "stop"

[[subscription]]
id = "token-plan"
model = "qwen3.6-plus"
from = 2026-11-01
includes = { credits = 25_000 }
burn = [{ per_million = { input = "200", cached_input = "20", output = "1200" } }]
round = "0.01"

[[capacity]]
id = "reserved"
model = "glm-5.1"
from = 2026-11-01
input_tpm = 200_000
output_tpm = 100_000
last_call = "charged"
burn = [{ tier = [
  { up_to = 32_000, per_token = { input = "1.0", cached_input = "0.2", output = "1.0" } },
  { per_token = { input = "1.33", cached_input = "0.266", output = "1.17" } },
] }]
""",
}
CALLS = """timestamp,model,service_tier,region,mode,seconds,input_tokens,output_tokens,images
2026-11-02T11:59:30+08:00,deepseek-flash,,,,60,1000,500,0
2026-11-02T11:59:30+08:00,deepseek-flash,batch,,,60,1000,500,0
2026-11-02T12:00:00+08:00,qwen-plus,,cn-hangzhou,thinking,,32000,1,0
2026-11-02T21:59:30+08:00,glm-5,,,,60,1000,500,0
2026-11-03T10:00:00+08:00,glm-5,,,,,1000,500,0
2026-11-03T10:00:01+08:00,glm-5.3,,,,,1500,500,0
2026-11-03T10:00:02+08:00,glm-5.3,,,,,1000,501,0
2026-11-03T10:00:03+08:00,kimi-k3,,,,,1000,500,0
2026-11-03T10:00:04+08:00,qwen3.7-plus,,,,,1499,500,0
2026-11-03T10:00:05+08:00,qwen3.7-plus,,,,,1,500,0
2026-11-03T10:00:06+08:00,qwen3-vl-plus,,,,,1000,500,101
2026-11-03T10:00:07+08:00,qwen3-32b,,,,,1000,500,0
2026-11-03T10:00:08+08:00,qwen3.6-plus,,,,,8349,573,0
2026-11-03T10:00:09+08:00,glm-5.1,,,,,50000,1000,0
2026-11-03T10:00:10+08:00,MiniMax-M3,,,,,1000,500,0
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("STEELYARD_DATABASE", raising=False)
    for name, text in STUDIO.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")

    def runner(*arguments, status=0):
        result = CliRunner().invoke(cli, ["--studio", str(tmp_path), *arguments])
        assert result.exit_code == status, result.output
        return result

    return runner


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_contract_is_read_aloud(run, golden, language):
    flags = ["--zh"] if language == "zh" else []
    said = run("contract", "explain", "acme-2026", "--at", "2026-11-24", *flags).stdout
    golden(f"cli/contract-{language}.txt", said)


def test_a_version_is_read_by_its_day(run):
    said = run("contract", "explain", "acme-2026", "--at", "2026-10-31", "--json").stdout
    sentences = json.loads(said)["sentences"]
    assert sentences[5].startswith(
        "1. Models deepseek-*: the list price of deepseek-cny on the day"
    )
    early = run("contract", "explain", "acme-2026", "--at", "2025-12-31", status=1).stderr
    assert "in force from 2026-01-01 on" in early


def test_what_changed_is_shown(run):
    said = run("contract", "diff", "acme-2026").stdout.splitlines()
    assert all(line[:2] in {"- ", "+ "} for line in said)
    assert sum("batch calls only" in line for line in said) == 1
    same = run("contract", "diff", "acme-2026", "2026-11-01", "2026-11-01").stdout
    assert same == "nothing changed\n"
    wrong = run("contract", "diff", "acme-2026", "2026-11-02", status=1).stderr
    assert 'did you mean "2026-11-01"?' in wrong


def test_prices_are_shown_with_discount_and_factor(run):
    found = json.loads(run("contract", "show", "acme-2026", "--at", "2026-11-24", "--json").stdout)
    flash = next(each for each in found if each["model"] == "deepseek-flash")
    assert flash["tariff"]["tiers"][0]["rates"]["prices"]["input_tokens"] == 875_000
    window = flash["windows"][0]
    assert window["tariff"]["tiers"][0]["rates"]["prices"]["input_tokens"] == 1_750_000
    shown = run("contract", "show", "acme-2026", "--at", "2026-11-24").stdout
    assert "deepseek-flash" in shown
    assert shown.count("batch calls only") == sum(row["model"][:9] == "deepseek-" for row in found)
    words = " ".join(shown.split())
    assert "A call that would cost less costs 0.01." in words


def test_only_the_faults_of_contracts_are_listed(run, tmp_path):
    assert run("contract", "check").stdout == "2 versions of contracts, all sound\n"
    file = tmp_path / "contracts" / "old.toml"
    file.write_text(STUDIO["contracts/old.toml"].replace("12.5%", "112.5%"), "utf-8")
    said = run("contract", "check", status=1).stdout
    assert said.startswith("contracts/old.toml:12:1: a discount is between 0% and 100%")
    file.write_text(STUDIO["contracts/old.toml"], "utf-8")
    main = STUDIO["steelyard.toml"].replace("Shanghai", "Shanghia")
    (tmp_path / "steelyard.toml").write_text(main, "utf-8")
    assert "`steelyard check` shows where" in run("contract", "check", status=1).stderr


TWICE, HALF = "Prices are multiplied by 2 from 09:00", "Prices are multiplied by 0.5 from 22:00"
STEPS = [
    # the call's place, a step that is said, what is charged
    (0, f"2026-11-02 11:59:30 (Asia/Shanghai) this holds: {TWICE}", "0.00525"),
    (1, "The price is the same at all hours.", "0.0015"),
    (
        2,
        "The prompt has 32,000 tokens, so it ends in tier 2 of 2.",
        "0.032009",
    ),  # the request is free
    (3, f"At 2026-11-02 22:00:30 (Asia/Shanghai) this holds: {HALF}", "0.0025"),
    (4, "none of the hours of its calendar hold", "0.005"),
    (5, "of the tier in which it stands among those used in the month by all these", "0.025"),
    (6, "What is used in the month before this call decides its price", "0.02002"),
    (7, "200 units of output are covered by welcome", "0.0018"),
    (8, "All units of a meter that each model uses in the week have the price of", "0.008998"),
    (9, "1,499 units of input used before are taken back at 2, and charged at 1.5", "0.005252"),
    (10, "images 0.5 for each 100 begun in the month by each model", "1.006"),
    (11, "Its own prices come to less than a call costs at least, 0.01", "0.01"),
    (12, "They count as 0.69 credits.", "0"),
    (13, "They count as 55,940 tokens.", "0"),
    (14, "0.0005 CNY of it are paid by gift.", "0.0045"),
]


def test_a_call_is_explained_as_it_was_booked(run, tmp_path):
    (tmp_path / "calls.csv").write_text(CALLS, "utf-8")
    file = str(tmp_path / "calls.csv")
    run("import", file, "--format", "csv", "--contract", "acme-2026")
    found = [json.loads(line) for line in run("journal", "cat", "--json").stdout.splitlines()]
    early = run("contract", "explain", found[0]["call_id"], status=1).stderr
    assert "`steelyard clerk` books what is in the journal" in early
    run("clerk", "--once")
    for place, step, charged in STEPS:
        told = json.loads(run("contract", "explain", found[place]["call_id"], "--json").stdout)
        assert any(step in each for each in told["steps"]), told["steps"]
        assert told["steps"][-1].startswith(f"{charged} CNY is charged")
        sides = [line["side"] for line in told["lines"]]
        assert sides == sorted(sides)
    said = run("contract", "explain", found[0]["call_id"], "--zh").stdout
    assert "共收费 0.00525 CNY" in said
    assert run("audit").stdout


def test_a_name_that_is_neither_is_refused(run):
    said = run("contract", "explain", "acme-2025", status=1).stderr
    assert '"acme-2025" is neither a contract nor the id of a call; did you mean "acme-' in said
    unknown = run("contract", "explain", "01a19a69-88d0-7c91-bd5b-de01f32d6302", status=1).stderr
    assert "no call 01a19a69-88d0-7c91-bd5b-de01f32d6302 is booked" in unknown


def test_each_phrase_has_the_same_blanks_in_both_languages():
    def blanks(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    for name, (english, chinese) in PHRASES.items():
        assert blanks(english) == blanks(chinese), name
    assert set(METERS_ZH) == set(ALL_METERS)
    assert all(PHRASES[name] == both for name, both in ITEM_PHRASES.items())
