"""What happened under a contract, written down by hand or from a file, and listed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from steelyard.cli.main import cli

STUDIO = {
    "steelyard.toml": """
[studio]
name = "Orchard"
operator = "orchard"
zone = "Asia/Shanghai"

[[customer]]
id = "acme"

[[earner]]
id = "orchard"
""",
    "contracts/acme.toml": """
id = "acme-2026"
customer = "acme"
currency = "CNY"
valid_from = 2026-01-01

[[fee]]
id = "team"
seats = 4
plan = [{ id = "small", amount = "50.00" }, { id = "large", amount = "80.00" }]

[[project]]
id = "rollout"
milestone = [{ id = "design", amount = "100000.00" }]
""",
}


@pytest.fixture
def run(tmp_path):
    for name, text in STUDIO.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(*arguments, status=0, group="facts"):
        done = CliRunner().invoke(cli, ["--studio", str(tmp_path), group, *arguments])
        assert done.exit_code == status, done.output
        return done

    return run


def listed(run):
    return [
        (each["at"], each["about"], each["what"], each["name"], each["units"])
        for each in json.loads(run("list", "--json").stdout)
    ]


def test_what_is_recorded_is_listed_in_the_order_in_which_it_happened(run):
    run("record", "acme-2026", "team", "changed", "--at", "2026-11-20", "--units", "seats=6")
    said = run("record", "acme-2026", "team", "begun", "large", "--at", "2026-11-10T09:00").stdout
    assert "recorded: acme-2026, team begun large, 2026-11-10 09:00 (Asia/Shanghai)" in said
    assert listed(run) == [
        ("2026-11-10T09:00:00+08:00", "team", "begun", "large", {}),
        ("2026-11-20T00:00:00+08:00", "team", "changed", "", {"seats": 6}),
    ]
    assert "seats 6" in run("list", "--about", "team").stdout
    assert json.loads(run("list", "--contract", "other", "--json").stdout) == []


def test_the_same_is_recorded_once(run):
    told = ("record", "acme-2026", "rollout", "accepted", "design", "--at", "2026-11-20")
    assert json.loads(run(*told, "--json").stdout)["recorded"] is True
    assert json.loads(run(*told, "--json").stdout)["recorded"] is False
    assert len(listed(run)) == 1


def test_something_else_under_the_same_id_is_refused(run):
    one = ("record", "acme-2026", "team", "changed", "--at", "2026-11-20", "--id", "PO-1")
    run(*one, "--units", "seats=6")
    said = run(*one, "--units", "seats=7", status=1).stderr
    assert '"PO-1" is the id of something else' in said
    assert "seats 6" in said
    assert len(listed(run)) == 1


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (("acme-2025", "team", "begun"), 'did you mean "acme-2026"'),
        (("acme-2026", "team", "begun", "--at", "0206-11-10"), "is the year right?"),
        (("acme-2026", "team", "begun", "a/b"), "no slash, no colon"),
        (("acme-2026", "team", "begun", "--note", "x" * 1001), "at most 1000 characters"),
        (("acme-2026", "tean", "begun"), 'did you mean "team"'),
        (("acme-2026", "team", "accepted"), '"team" is not accepted; it is begun, changed, ended'),
        (("acme-2026", "team", "changed", "huge"), 'there is no plan "huge"'),
        (("acme-2026", "team", "changed", "--units", "seat=2"), 'did you mean "seats"'),
        (("acme-2026", "team", "changed", "--units", "seats=-2"), "between 0 and"),
        (("acme-2026", "rollout", "changed", "more"), "its worth in coins"),
        (("acme-2026", "rollout", "changed", "design", "--units", "coins=1"), "is a milestone"),
    ],
)
def test_what_can_not_be_is_refused(run, told, says):
    assert says in run("record", *told, status=1).stderr
    assert listed(run) == []


def test_a_file_is_recorded_whole_and_once(run, tmp_path):
    file = tmp_path / "facts.csv"
    file.write_text(
        "id,at,contract,about,what,name,units,note\n"
        "1,2026-11-10,acme-2026,team,begun,large,seats=5,\n"
        '2,2026-11-20 10:00,acme-2026,rollout,accepted,design,,"signed, by both"\n',
        "utf-8",
    )
    assert "2 recorded, 0 were" in run("import", str(file)).stdout
    assert "0 recorded, 2 were" in run("import", str(file)).stdout
    lines = tmp_path / "facts.jsonl"
    lines.write_text(
        '{"id": "3", "at": "2026-11-25", "contract": "acme-2026", "about": "team", '
        '"what": "changed", "units": {"seats": 7}}\n',
        "utf-8",
    )
    assert json.loads(run("import", str(lines), "--json").stdout) == {"rows": 1, "recorded": 1}
    assert [units for *_, units in listed(run)] == [{"seats": 5}, {}, {"seats": 7}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,at\n", ":1:1: the first line names the columns"),
        ("id,at,contract,about,what\n1,soon,acme-2026,team,begun\n", ':2:3: "soon" is no time'),
        ("id,at,contract,about,what\n1,2026-11-10,acme-2026,team,gone\n", ":2:29: "),
        ("id,at,contract,about,what\n1,2026-11-10,acme-2026\n", ":2:1: 3 fields"),
        ("id,at,contract,about,what\n1,2026-11-10,acme-2026,tean,begun\n", ":2:24: "),
        (
            "id,at,contract,about,what,units\n1,2026-11-10,acme-2026,team,begun,seats\n",
            ':2:35: "seats" is no count',
        ),
        ('{"id": "1", "at": 7}\n', ":1:13: "),
        ('{"id": "1"\n', ":1:1: "),
    ],
)
def test_each_fault_of_a_file_has_its_place(run, tmp_path, text, says):
    file = tmp_path / "facts.csv"
    good = "0,2026-11-10,acme-2026,team,begun"
    file.write_text(
        text + (good if text.startswith("id,at,contract,about,what\n") else ""), "utf-8"
    )
    said = run("import", str(file), status=1).stderr
    assert says in said
    assert "nothing was recorded" in said
    assert listed(run) == []


def test_what_is_due_is_shown_booked_and_invoiced(run):
    run("record", "acme-2026", "team", "begun", "large", "--at", "2026-01-10", "--units", "seats=2")
    run("record", "acme-2026", "rollout", "accepted", "design", "--at", "2026-01-12")
    due = json.loads(run("due", "acme-2026", "2026-01", "--json", group="contract").stdout)
    assert [(each["model"], each["units"], each["amount_pico"]) for each in due["lines"]] == [
        ("team:large", 2, 160 * 10**12),
        ("rollout:design", 1, 100_000 * 10**12),
    ]
    shown = run("due", "acme-2026", "2026-01", "--book", group="contract").stdout
    assert "2026-01-10   team: large" in shown
    assert "100,160.00" in shown
    assert "Nothing is due" in run("due", "acme-2026", "2025-12", group="contract").stdout
    [seats, design] = [each["call_id"] for each in due["lines"]]
    told = run("explain", seats, group="contract").stdout
    assert "2. team: small 50.00, large 80.00 CNY a month for each of 4 seats at first." in told
    assert "3. 2026-01-10 00:00: begun large, seats 2 (" in told
    assert "4. 160 CNY was due on 2026-01-10, and is booked in 2026-01." in told
    assert "验收 design" in run("explain", design, "--zh", group="contract").stdout
    closed = json.loads(run("2026-01", "--json", group="close").stdout)
    assert closed["documents"][0]["total"] == "100160.00"
    audited = json.loads(run("--json", group="audit").stdout)
    assert audited["money"]["CNY"]["charged_pico"] == 100_160 * 10**12


def test_a_closed_month_is_charged_again_by_a_corrected_fee(run, tmp_path):
    run("record", "acme-2026", "team", "begun", "large", "--at", "2026-01-10", "--units", "seats=2")
    run("2026-01", group="close")
    file = tmp_path / "contracts" / "acme.toml"
    file.write_text(STUDIO["contracts/acme.toml"].replace('"80.00"', '"70.00"'), "utf-8")

    def due(month, *more):
        told = run("due", "acme-2026", month, "--json", *more, group="contract").stdout
        return sum(each["amount_pico"] for each in json.loads(told)["lines"]) // 10**12

    assert due("2026-01") == 160
    assert due("2026-01", "--again") == 140
    assert due("2026-01", "--again", "--book") == 140
    assert due("2026-01", "--again", "--book") == 140  # nothing more is booked
    closed = json.loads(run("2026-02", "--json", group="close").stdout)
    assert closed["documents"][0]["total"] == "120.00"  # 140 of its own, 20 given back
    assert json.loads(run("--json", group="audit").stdout)["whole"]


def test_what_is_charged_by_period_is_shown_with_the_prices(run):
    assert (
        "team: small 50.00, large 80.00 CNY a month"
        in run("show", "acme-2026", group="contract").stdout
    )
    shown = json.loads(run("show", "acme-2026", "--json", group="contract").stdout)
    assert [each["item"] for each in shown] == ["team", "rollout"]
