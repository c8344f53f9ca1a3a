from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from steelyard import studio
from steelyard.catalogue.routes import Part, Route
from steelyard.governance.keys import digest
from steelyard.studio import StudioFaults
from steelyard.values import periods

TRIAL = Path(__file__).parent / "fixtures" / "trial"
TABLE = Path(__file__).parent / "tables" / "faults.toml"

FILES = {
    path.relative_to(TRIAL).as_posix(): path.read_text("utf-8") for path in TRIAL.rglob("*.toml")
}
MAIN, BOOK = FILES["steelyard.toml"], FILES["prices/list.toml"]
CONTRACT, SHARE = FILES["contracts/acme.toml"], FILES["shares/cny.toml"]
ENV = {"ACME_KEY": "sk-sy-secret"}


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def faults_of(root, env=ENV):
    with pytest.raises(StudioFaults) as caught:
        studio.load(root, env)
    return [str(fault) for fault in caught.value.faults]


def test_a_sound_studio_is_held_whole(tmp_path):
    opened = studio.load(write(tmp_path, FILES), ENV)
    assert opened.settings.studio.name == "Trial"
    assert opened.settings.gateway.durability == "process"
    assert [key.sha256 for key in opened.keys] == [digest("sk-sy-secret")]
    assert opened.keys[0].customer == "acme"
    assert opened.warnings == ()
    (contract,) = opened.edition.contracts
    assert contract.zone == "Asia/Shanghai"
    assert contract.valid_from == "2026-01-01"
    assert contract.valid_from_us == periods.bounds_us(periods.month("2026-01"), "Asia/Shanghai")[0]
    assert [rule.discount_ppm for rule in contract.prices] == [120_000, 0]
    assert {book.id for book in opened.edition.books} >= {"list", "bailian-cny"}
    assert opened.edition.operator == "house"


def test_limits_and_whose_call_goes_first_are_read(tmp_path):
    limits = """
    workspace = "research"
    priority = 3

    [[limit]]
    id = "silver"
    of = ["customer", "model"]
    tokens_per_minute = 100_000
    burst_s = 5

    [[limit]]
    id = "gold"
    of = "key"
    concurrency = 4
    """
    main = MAIN.replace('id = "acme"', 'id = "acme"\nweight = 3') + limits
    opened = studio.load(write(tmp_path, FILES | {"steelyard.toml": main}), ENV)
    assert [limit.id for limit in opened.limits] == ["gold", "silver"]
    assert opened.limits[1].of == ("customer", "model")
    assert (opened.keys[0].workspace, opened.keys[0].priority) == ("research", 3)
    assert [(each.id, each.weight) for each in opened.edition.customers] == [("acme", 3)]


def test_how_calls_find_their_deployment_is_read(tmp_path):
    routes = """
    regions = ["cn-*"]
    routing = true

    [[deployment]]
    id = "second"
    model = "smollm2-135m-instruct"
    kind = "echo"
    provider = "here"
    weight = 0
    capacity = 20
    region = "cn-beijing"
    draining = true

    [[route]]
    model = "smollm2-135m-instruct"
    strategy = "affinity"
    deployments = ["embedded"]
    retries = 0
    hedge_ms = 800
    canary = { deployment = "second", share = "2.5%" }
    shadow = { deployment = "second", share = "100%" }
    """
    opened = studio.load(write(tmp_path, FILES | {"steelyard.toml": MAIN + routes}), ENV)
    assert opened.routes == (
        Route(
            model="smollm2-135m-instruct",
            strategy="affinity",
            deployments=("embedded",),
            retries=0,
            hedge_ms=800,
            canary=Part(deployment="second", share_ppm=25_000),
            shadow=Part(deployment="second", share_ppm=1_000_000),
        ),
    )
    second = opened.edition.deployments[1]
    assert (second.weight, second.capacity, second.draining) == (0, 20, True)
    assert (second.region, opened.keys[0].regions) == ("cn-beijing", ("cn-*",))
    assert opened.keys[0].routing


def test_the_prices_of_the_trade_are_filled_in(tmp_path):
    opened = studio.load(write(tmp_path, FILES), ENV)
    tariff = opened.edition.contracts[0].prices[1].tariff
    assert tariff is not None
    assert tariff.tiers[0].rates.prices == {
        "input_tokens": 3_000_000,
        "cached_input_tokens": 100_000,
        "cache_write_tokens": 3_000_000,
        "cache_write_5m_tokens": 3_000_000,
        "cache_write_1h_tokens": 3_000_000,
        "output_tokens": 6_000_000,
        "reasoning_tokens": 6_000_000,
    }


@pytest.mark.parametrize("row", tomllib.loads(TABLE.read_text("utf-8"))["row"])
def test_a_fault_has_its_place_and_says_what_to_write(tmp_path, row):
    file, old = row["file"], row["old"]
    assert FILES[file].count(old) == 1, "the row edits one place"
    root = write(tmp_path, FILES | {file: FILES[file].replace(old, row["new"])})
    assert faults_of(root) == row["says"]


def test_every_fault_of_every_file_is_named_at_once(tmp_path):
    files = {
        "steelyard.toml": MAIN.replace("port = 8080", "prot = 8080\nhosts = 1"),
        "prices/list.toml": BOOK.replace('input = "1"', "input = 1").replace("[[cost]]", ""),
        "contracts/acme.toml": CONTRACT.replace("12%", "x").replace('"acme-2026"', '"a b"'),
        "shares/cny.toml": SHARE.replace('"house"', '"horse"'),
    }
    places = [fault.split(": ")[0] for fault in faults_of(write(tmp_path, files))]
    assert places == [
        "contracts/acme.toml:1:1",
        "contracts/acme.toml:10:1",
        "prices/list.toml:11:17",
        "shares/cny.toml:7:1",
        "steelyard.toml:7:1",
        "steelyard.toml:8:1",
        "steelyard.toml:24:1",
    ]


SECOND = CONTRACT.replace("2026-01-01", "2026-07-01")
VERSIONS = [
    (SECOND, []),
    (
        CONTRACT,
        [
            (
                'contracts/later.toml:4:1: "acme-2026" has a version from 2026-01-01 in '
                "contracts/acme.toml; give this one its own day"
            )
        ],
    ),
    (
        SECOND + '\n[[price]]\nmodel = "glm-*"\nper_million = { input = "1" }\n',
        [],
    ),
    (
        SECOND.replace('currency = "CNY"', 'currency = "CNY"\nzone = "UTC"'),
        [
            (
                'contracts/later.toml:4:1: zone is "Asia/Shanghai" in contracts/acme.toml, '
                'and can\'t change to "UTC" between versions; write it under a new id'
            )
        ],
    ),
]


@pytest.mark.parametrize(("later", "expected"), VERSIONS)
def test_versions_of_a_contract(tmp_path, later, expected):
    root = write(tmp_path, FILES | {"contracts/later.toml": later})
    if expected:
        assert faults_of(root) == expected
    else:
        days = [each.valid_from for each in studio.load(root, ENV).edition.contracts]
        assert days == ["2026-01-01", "2026-07-01"]


def test_a_reference_to_a_document_that_is_faulty_otherwise_is_no_fault(tmp_path):
    files = FILES | {"prices/list.toml": BOOK.replace('input = "1"', "input = 1")}
    assert len(faults_of(write(tmp_path, files))) == 1


def test_a_folder_without_a_studio_says_what_to_do(tmp_path):
    assert faults_of(tmp_path) == [
        "steelyard.toml:1:1: there is no steelyard.toml here; `steelyard init` writes one"
    ]


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    root = write(tmp_path, FILES)
    (root / "shares" / "cny.toml").write_bytes(b'id = "caf\xe9"\n')
    assert faults_of(root) == ["shares/cny.toml:1:1: not UTF-8 at byte 9; save the file as UTF-8"]


def test_a_file_that_is_too_large_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(studio, "FILE_BYTES_MAX", 100)
    assert "steelyard.toml:1:1: larger than 100 bytes; split it" in faults_of(
        write(tmp_path, FILES)
    )


def test_a_currency_in_which_nobody_earns_is_warned_of(tmp_path):
    usd = CONTRACT.replace("acme-2026", "acme-usd").replace('"CNY"', '"USD"')
    usd = usd.replace('book = "list"\ndiscount = "12%"', 'per_million = { input = "1" }')
    opened = studio.load(write(tmp_path, FILES | {"contracts/usd.toml": usd}), ENV)
    assert [str(each) for each in opened.warnings] == [
        "contracts/usd.toml:3:1: no file in shares/ is in USD: all that is sold is margin"
    ]


def test_without_an_environment_no_secret_is_looked_for(tmp_path):
    opened = studio.load(write(tmp_path, FILES), None)
    assert [(key.id, key.sha256, key.hint) for key in opened.keys] == [("app", "", "$ACME_KEY")]


def test_the_edition_does_not_depend_on_the_names_of_files_or_on_secrets(tmp_path):
    renamed = {
        "steelyard.toml": MAIN,
        "prices/zzz.toml": BOOK,
        "contracts/2.toml": CONTRACT,
        "contracts/1.toml": SECOND,
        "shares/other.toml": SHARE,
    }
    files = FILES | {"contracts/zz.toml": SECOND}
    one = studio.load(write(tmp_path / "one", files), ENV)
    other = studio.load(write(tmp_path / "other", renamed), {"ACME_KEY": "another"})
    assert one.edition == other.edition


def test_the_studios_own_book_and_model_go_before_the_packaged_ones(tmp_path):
    own_model = """
[[model]]
id = "qwen3-max"
family = "Qwen"
developer = "Alibaba"
licence = "closed"
context = 1
source = "us"
checked = 2026-11-24
"""
    files = FILES | {
        "steelyard.toml": MAIN + own_model,
        "prices/list.toml": BOOK.replace('id = "list"', 'id = "bailian-cny"'),
        "contracts/acme.toml": CONTRACT.replace('"list"', '"bailian-cny"'),
    }
    edition = studio.load(write(tmp_path, files), ENV).edition
    assert [each.context for each in edition.models if each.id == "qwen3-max"] == [1]
    assert [each.vendor for each in edition.books if each.id == "bailian-cny"] == ["Us"]


GRANT = """
[[grant]]
id = "welcome"
model = "deepseek-*"
tokens = {size}
from = 2026-01-01
until = 2026-04-01
"""


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (100, []),
        (
            200,
            [
                (
                    'contracts/later.toml:17:1: grant "welcome" is another one in '
                    "contracts/acme.toml; give this one an id of its own"
                )
            ],
        ),
    ],
)
def test_a_grant_is_the_same_in_all_versions(tmp_path, size, says):
    first = FILES["contracts/acme.toml"]
    later = first.replace("valid_from = 2026-01-01", "valid_from = 2026-02-01")
    files = FILES | {
        "contracts/acme.toml": first + GRANT.format(size=100),
        "contracts/later.toml": later + GRANT.format(size=size),
    }
    root = write(tmp_path, files)
    if says:
        assert faults_of(root) == says
        return
    versions = studio.load(root, ENV).edition.contracts
    (grant,) = {each.grants for each in versions}
    assert (grant[0].size, grant[0].meters[0], grant[0].until) == (
        100, "input_tokens", "2026-04-01",
    )  # fmt: skip


def test_a_price_that_no_call_reaches_is_warned_of(tmp_path):
    more = '\n[[price]]\nmodel = "deepseek-*"\nservice_tier = "batch"\nbook = "deepseek-cny"\n'
    files = FILES | {"contracts/acme.toml": FILES["contracts/acme.toml"] + more}
    warned = studio.load(write(tmp_path, files), ENV).warnings
    assert [str(each) for each in warned] == [
        (
            "contracts/acme.toml:17:1: no call gets here: price 2 is for all of these; "
            "put this one first"
        )
    ]


HOLIDAYS = """
id = "{id}"
name = "Ours"
years = [2026]
off = [{off}]
worked = [2026-10-10]
source = "our own plan"
checked = 2026-01-01
"""


def test_a_studio_has_holidays_of_its_own_in_place_of_the_packaged_ones(tmp_path):
    files = FILES | {"holidays/cn.toml": HOLIDAYS.format(id="CN", off="2026-10-02")}
    (holidays,) = studio.load(write(tmp_path, files), ENV).edition.holidays
    assert (holidays.name, holidays.off) == ("Ours", ("2026-10-02",))


@pytest.mark.parametrize(
    ("off", "says"),
    [
        ("2027-01-01", "holidays/x.toml:5:8: 2027-01-01 is in none of the years [2026]"),
        ("2026-10-10", "holidays/x.toml:6:11: 2026-10-10 is both off and worked"),
    ],
)
def test_holidays_are_of_their_years_and_not_worked(tmp_path, off, says):
    files = FILES | {"holidays/x.toml": HOLIDAYS.format(id="X", off=off)}
    assert faults_of(write(tmp_path, files)) == [says]
