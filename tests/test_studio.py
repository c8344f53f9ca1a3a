from __future__ import annotations

import pytest

from steelyard import studio
from steelyard.governance.keys import digest
from steelyard.studio import StudioFaults
from steelyard.values import periods

MAIN = """\
[studio]
name = "Trial"
operator = "house"
zone = "Asia/Shanghai"

[gateway]
port = 8080

[[deployment]]
id = "embedded"
model = "smollm2-135m-instruct"
kind = "engine"
provider = "here"

[[customer]]
id = "acme"

[[earner]]
id = "house"

[[key]]
id = "app"
contract = "acme-2026"
secret_env = "ACME_KEY"
"""

BOOK = """\
id = "list"
vendor = "Us"
currency = "CNY"
zone = "Asia/Shanghai"
source = "our own"
checked = 2026-01-01

[[price]]
model = "smollm2-135m-instruct"
from = 2026-01-01
per_million = { input = "1", output = "4" }

[[price]]
model = "qwen3-max"
from = 2026-01-01
tier = [
  { up_to = 32_000, per_million = { input = "2", output = "8" } },
  { per_million = { input = "4", output = "16" } },
]
"""

CONTRACT = """\
id = "acme-2026"
customer = "acme"
currency = "CNY"
valid_from = 2026-01-01
terms = { pays = "afterwards", due_days = 30 }

[[price]]
model = "smollm2-*"
book = "list"
discount = "12%"

[[price]]
model = "deepseek-*"
per_million = { input = "3", cached_input = "0.1", output = "6" }
"""

SHARE = """\
id = "costs"
currency = "CNY"
valid_from = 2026-01-01

[[cost]]
component = "model"
earner = "house"
per_million = { input = "0.2", output = "0.8" }
"""

FILES = {
    "steelyard.toml": MAIN,
    "prices/list.toml": BOOK,
    "contracts/acme.toml": CONTRACT,
    "shares/cny.toml": SHARE,
}
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


def test_the_prices_of_the_trade_are_filled_in(tmp_path):
    opened = studio.load(write(tmp_path, FILES), ENV)
    tariff = opened.edition.contracts[0].prices[1].tariff
    assert tariff.tiers[0].rates.prices == {
        "input_tokens": 3_000_000,
        "cached_input_tokens": 100_000,
        "cache_write_tokens": 3_000_000,
        "output_tokens": 6_000_000,
        "reasoning_tokens": 6_000_000,
    }


FAULTY = [
    # file, what stands there, what was written instead, the faults
    (
        "steelyard.toml",
        'operator = "house"\n',
        'operator = "hous"\n',
        ['steelyard.toml:3:1: unknown earner "hous"; did you mean "house"?'],
    ),
    (
        "steelyard.toml",
        'operator = "house"\n',
        "",
        ['steelyard.toml:1:1: "operator" is missing; write operator = "house"'],
    ),
    (
        "steelyard.toml",
        'zone = "Asia/Shanghai"',
        'zone = "Asia/Shanghia"',
        ['steelyard.toml:4:1: unknown time zone "Asia/Shanghia"; did you mean "Asia/Shanghai"?'],
    ),
    (
        "steelyard.toml",
        "port = 8080",
        "prot = 8080",
        ['steelyard.toml:7:1: unknown field "prot"; did you mean "port"?'],
    ),
    (
        "steelyard.toml",
        "port = 8080",
        "port = 80800",
        ['steelyard.toml:7:1: "port" must be at most 65535'],
    ),
    (
        "steelyard.toml",
        "port = 8080",
        'durability = "discs"',
        ['steelyard.toml:7:1: "discs" is not known here; did you mean "disk"?'],
    ),
    (
        "steelyard.toml",
        "[gateway]",
        "[gatway]",
        ['steelyard.toml:6:1: unknown field "gatway"; did you mean "gateway"?'],
    ),
    (
        "steelyard.toml",
        "[[customer]]",
        "[customer]",
        [
            'contracts/acme.toml:2:1: unknown customer "acme"; there is none yet',
            "steelyard.toml:15:1: write [[customer]], with two brackets: there can be several",
        ],
    ),
    (
        "steelyard.toml",
        'model = "smollm2-135m-instruct"',
        'model = "smollm-135m-instruct"',
        [
            (
                'steelyard.toml:11:1: unknown model "smollm-135m-instruct"; '
                'did you mean "smollm2-135m-instruct"?'
            )
        ],
    ),
    (
        "steelyard.toml",
        'kind = "engine"',
        'kind = "openai"',
        ['steelyard.toml:9:1: where is this upstream? Write url = "https://.../v1"'],
    ),
    (
        "steelyard.toml",
        'kind = "engine"',
        'kind = "openai"\nurl = "api.example.com"',
        [
            'steelyard.toml:13:1: "api.example.com" is no URL; write it like "https://.../v1"',
        ],
    ),
    (
        "steelyard.toml",
        'kind = "engine"',
        'kind = "engine"\nurl = "http://here/v1"',
        ['steelyard.toml:13:1: kind = "engine" has no url; remove it, or write kind = "openai"'],
    ),
    (
        "steelyard.toml",
        '[[customer]]\nid = "acme"\n',
        '[[customer]]\nid = "acme"\n\n[[customer]]\nid = "acme"\n',
        ['steelyard.toml:19:1: id "acme" is taken, by steelyard.toml:15'],
    ),
    (
        "steelyard.toml",
        'id = "acme"',
        'id = "acme corp"',
        [
            'contracts/acme.toml:2:1: unknown customer "acme"; did you mean "acme corp"?',
            (
                "steelyard.toml:16:1: 'acme corp' is no name that can be used here; write letters, "
                "digits, '.', '_' and '-', beginning with a letter or digit, at most 64"
            ),
        ],
    ),
    (
        "steelyard.toml",
        'contract = "acme-2026"',
        'contract = "acme-2025"',
        ['steelyard.toml:23:1: unknown contract "acme-2025"; did you mean "acme-2026"?'],
    ),
    (
        "steelyard.toml",
        'contract = "acme-2026"',
        'contract = "acme-2026"\ncustomer = "house"',
        ['steelyard.toml:24:1: contract "acme-2026" is with "acme"'],
    ),
    (
        "steelyard.toml",
        'secret_env = "ACME_KEY"',
        'secret_env = "OTHER_KEY"',
        ["steelyard.toml:24:1: the environment variable OTHER_KEY is not set; it holds the secret"],
    ),
    (
        "steelyard.toml",
        'secret_env = "ACME_KEY"',
        "",
        ['steelyard.toml:21:1: write either secret_env = "MY_KEY" or sha256 = "..."'],
    ),
    (
        "steelyard.toml",
        'secret_env = "ACME_KEY"',
        f'sha256 = "{"x" * 64}"',
        ["steelyard.toml:24:1: a SHA-256 digest is 64 hexadecimal digits"],
    ),
    (
        "steelyard.toml",
        'secret_env = "ACME_KEY"',
        'secret_env = "ACME_KEY"\nmodels = ["smollm3-*"]',
        [
            (
                'steelyard.toml:25:11: "smollm3-*" matches no model; '
                "`steelyard models` shows them, [[model]] in steelyard.toml adds one"
            )
        ],
    ),
    (
        "prices/list.toml",
        'currency = "CNY"',
        'currency = "RMB"',
        [
            (
                'prices/list.toml:3:1: unknown currency "RMB"; '
                "there is CNY, EUR, GBP, HKD, JPY, KRW, SGD, USD"
            )
        ],
    ),
    (
        "prices/list.toml",
        'source = "our own"\n',
        "",
        [
            'prices/list.toml:7:1: where does this price come from? Write source = "https://..."',
            'prices/list.toml:12:1: where does this price come from? Write source = "https://..."',
        ],
    ),
    (
        "prices/list.toml",
        'input = "1"',
        "input = 1.25",
        [
            (
                "prices/list.toml:11:17: write a price as decimal text in quotes, "
                '"1.25", so that no digit is lost'
            )
        ],
    ),
    (
        "prices/list.toml",
        'input = "1"',
        'inputs = "1"',
        ['prices/list.toml:11:17: unknown meter "inputs"; did you mean "input"?'],
    ),
    (
        "prices/list.toml",
        'input = "1"',
        'input = "1,5"',
        ["prices/list.toml:11:17: '1,5' is not a decimal number; write it like \"12.50\""],
    ),
    (
        "prices/list.toml",
        'input = "1"',
        'input = "-1"',
        ['prices/list.toml:11:17: a price is not negative; "-1" would pay the caller'],
    ),
    (
        "prices/list.toml",
        'input = "1"',
        'input = "1.0000001"',
        [
            (
                'prices/list.toml:11:17: "1.0000001" is finer than 0.000001 a million, '
                "the finest price there is (10⁻¹² for one)"
            )
        ],
    ),
    (
        "prices/list.toml",
        'input = "1"',
        'input = "1", input_tokens = "2"',
        ["prices/list.toml:11:30: input_tokens has a price already; keep one of the two"],
    ),
    (  # a price for one token, written as one for a million
        "prices/list.toml",
        'input = "1"',
        'input = "0.000002"',
        [
            (
                "prices/list.toml:11:17: 0.000002 for a million tokens: "
                "is this a price for one token? Write it for a million"
            )
        ],
    ),
    (  # a price for a million tokens, written as one for each
        "prices/list.toml",
        'per_million = { input = "1", output = "4" }',
        'per_unit = { input_tokens = "1", output_tokens = "4" }',
        [
            (
                "prices/list.toml:11:14: 1000000 for a million tokens: is this a price for "
                "a million? Write it under per_million, and for a million tokens"
            ),
            (
                "prices/list.toml:11:34: 4000000 for a million tokens: is this a price for "
                "a million? Write it under per_million, and for a million tokens"
            ),
        ],
    ),
    (
        "prices/list.toml",
        'per_million = { input = "1", output = "4" }',
        'per_unit = { input = "0.000001" }',
        ['prices/list.toml:11:14: write the whole name of the meter here: "input_tokens"'],
    ),
    (
        "prices/list.toml",
        'per_million = { input = "1", output = "4" }',
        "",
        [
            (
                "prices/list.toml:8:1: no price is given; "
                'write per_million = { input = "2", output = "8" }'
            )
        ],
    ),
    (
        "prices/list.toml",
        'model = "smollm2-135m-instruct"\nfrom = 2026-01-01',
        'model = "smollm2-135m-instruct"\nfrom = 2026-01-01T00:00:00',
        [
            (
                "prices/list.toml:10:1: which zone is 2026-01-01T00:00:00 in? "
                "Write 2026-01-01T00:00:00Z or 2026-01-01T00:00:00+08:00"
            )
        ],
    ),
    (
        "prices/list.toml",
        'model = "smollm2-135m-instruct"\nfrom = 2026-01-01',
        'model = "smollm2-135m-instruct"\nfrom = "soon"',
        [
            (
                "prices/list.toml:10:1: write a day, 2026-01-01, "
                "or an instant, 2026-01-01T00:00:00+08:00"
            )
        ],
    ),
    (
        "prices/list.toml",
        'model = "qwen3-max"',
        'model = "qwen3-mux"',
        ['prices/list.toml:14:1: unknown model "qwen3-mux"; did you mean "qwen3-max"?'],
    ),
    (
        "prices/list.toml",
        'model = "qwen3-max"',
        'model = "smollm2-135m-instruct"',
        [
            (
                "prices/list.toml:15:1: smollm2-135m-instruct has another price from "
                "2025-12-31T16:00:00+00:00 on; keep one"
            )
        ],
    ),
    (
        "prices/list.toml",
        "  { per_million = { input",
        "  { up_to = 256_000, per_million = { input",
        [
            (
                "prices/list.toml:18:5: prompts above 256000 tokens have no price; "
                "remove up_to from the last tier, or add a tier without it"
            )
        ],
    ),
    (
        "prices/list.toml",
        '  { per_million = { input = "4", output = "16" } },\n',
        (
            '  { up_to = 32_000, per_million = { input = "3" } },\n'
            '  { per_million = { input = "4", output = "16" } },\n'
        ),
        ["prices/list.toml:18:5: up_to = 32000 does not rise above 32000; order the tiers"],
    ),
    (
        "prices/list.toml",
        "  { up_to = 32_000, per_million",
        "  { per_million",
        [
            (
                "prices/list.toml:17:3: only the last tier has no up_to; "
                "write how long a prompt it takes"
            )
        ],
    ),
    (
        "prices/list.toml",
        'per_million = { input = "1", output = "4" }',
        'per_million = { input = "1", output = "4" }\nboundary = "open"',
        ["prices/list.toml:12:1: a boundary is between tiers, and there is no tier"],
    ),
    (
        "prices/list.toml",
        "tier = [",
        'per_unit = { requests = "0.01" }\ntier = [',
        ["prices/list.toml:16:1: with tiers, write per_unit inside each tier"],
    ),
    (
        "contracts/acme.toml",
        'customer = "acme"',
        'customer = "acne"',
        ['contracts/acme.toml:2:1: unknown customer "acne"; did you mean "acme"?'],
    ),
    (
        "contracts/acme.toml",
        "valid_from = 2026-01-01\n",
        "",
        ['contracts/acme.toml:1:1: "valid_from" is missing; write valid_from = 2026-01-01'],
    ),
    (
        "contracts/acme.toml",
        'currency = "CNY"',
        'currency = "USD"',
        [
            (
                "contracts/acme.toml:9:1: list has prices in CNY, this contract is in USD; "
                "nothing is converted: choose another book"
            )
        ],
    ),
    (
        "contracts/acme.toml",
        'book = "list"',
        'book = "lists"',
        ['contracts/acme.toml:9:1: unknown book "lists"; did you mean "list"?'],
    ),
    (
        "contracts/acme.toml",
        'model = "smollm2-*"',
        'model = "smollm3-*"',
        [
            (
                'contracts/acme.toml:8:1: "smollm3-*" matches no model of list; '
                "there is qwen3-max, smollm2-135m-instruct"
            )
        ],
    ),
    (
        "contracts/acme.toml",
        'model = "deepseek-*"',
        'model = "deepsick-*"',
        [('contracts/acme.toml:13:1: "deepsick-*" matches no model; did you mean "deepseek-r1"?')],
    ),
    (
        "contracts/acme.toml",
        'discount = "12%"',
        'discount = "112%"',
        ['contracts/acme.toml:10:1: a discount is between 0% and 100%, not "112%"'],
    ),
    (
        "contracts/acme.toml",
        'discount = "12%"',
        "discount = 0.12",
        ['contracts/acme.toml:10:1: write a discount in per cent and in quotes, "12%" or "12.5%"'],
    ),
    (
        "contracts/acme.toml",
        'discount = "12%"',
        'discount = "12.00001%"',
        [
            (
                'contracts/acme.toml:10:1: "12.00001%" is no discount; '
                'write it with at most four decimals, "12.5%"'
            )
        ],
    ),
    (
        "contracts/acme.toml",
        'discount = "12%"',
        'discout = "12%"',
        ['contracts/acme.toml:10:1: unknown field "discout"; did you mean "discount"?'],
    ),
    (
        "contracts/acme.toml",
        'book = "list"',
        'book = "list"\nper_unit = { requests = "1" }',
        ["contracts/acme.toml:9:1: a price is either from a book or written here; keep one"],
    ),
    (
        "contracts/acme.toml",
        'book = "list"\n',
        "",
        [
            (
                'contracts/acme.toml:7:1: no price: write book = "..." or '
                'per_million = { input = "2", output = "8" }'
            )
        ],
    ),
    (
        "contracts/acme.toml",
        "due_days = 30",
        "credit_limit = 50000.0",
        ['contracts/acme.toml:5:32: write an amount as decimal text in quotes, "50000.00"'],
    ),
    (
        "contracts/acme.toml",
        "due_days = 30",
        'due_days = "30"',
        ['contracts/acme.toml:5:32: "due_days" is text in quotes; write a whole number'],
    ),
    (
        "contracts/acme.toml",
        '[[price]]\nmodel = "deepseek-*"',
        '[[grant]]\nname = "launch"\n\n[[price]]\nmodel = "deepseek-*"',
        [
            (
                'contracts/acme.toml:12:1: unknown field "grant"; '
                "there is currency, customer, id, price, terms, title, valid_from, zone"
            )
        ],
    ),
    (
        "contracts/acme.toml",
        'per_million = { input = "3", cached_input = "0.1", output = "6" }',
        'per_million = { input = "3" }\npeak = { factor = "2" }',
        [
            (
                'contracts/acme.toml:15:1: unknown field "peak"; there is '
                "book, boundary, discount, model, per_million, per_unit, tier"
            )
        ],
    ),
    (
        "shares/cny.toml",
        'component = "model"',
        'component = "modle"',
        ['shares/cny.toml:6:1: "modle" is not known here; did you mean "model"?'],
    ),
    (
        "shares/cny.toml",
        'earner = "house"',
        'earner = "horse"',
        ['shares/cny.toml:7:1: unknown earner "horse"; did you mean "house"?'],
    ),
    (
        "shares/cny.toml",
        'earner = "house"',
        'earner = "house"\ndeployments = "embeded"',
        ['shares/cny.toml:8:1: "embeded" matches no deployment; did you mean "embedded"?'],
    ),
    (
        "shares/cny.toml",
        "[[cost]]\n",
        "[[cost]\n",
        ["shares/cny.toml:5:7: not TOML: Expected ']]' at the end of an array declaration"],
    ),
    (
        "shares/cny.toml",
        'per_million = { input = "0.2", output = "0.8" }\n',
        'per_million = { input = "0.2", output = ',
        ["shares/cny.toml:8:41: not TOML: Invalid value (at end of document)"],
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "expected"), FAULTY)
def test_a_fault_has_its_place_and_says_what_to_write(tmp_path, file, old, new, expected):
    assert FILES[file].count(old) == 1, "the row edits one place"
    root = write(tmp_path, FILES | {file: FILES[file].replace(old, new)})
    assert faults_of(root) == expected


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
