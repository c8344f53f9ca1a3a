"""``steelyard secrets``, from the first one sealed to a studio that is served with it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from steelyard import app, reaching
from steelyard.cli.main import cli
from steelyard.governance.sealed import FILE, MASTER_VARIABLE
from steelyard.studio import StudioFaults
from steelyard.system import SystemClock
from tests.fixtures.gateway import SECRET, Deployed, write_studio

MASTER = "a master key of the tests"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(MASTER_VARIABLE, MASTER)
    for name in ("ACME_KEY", "GLOBEX_KEY"):
        monkeypatch.setenv(name, SECRET + name)
    write_studio(tmp_path, [Deployed("m", "openai", "http://127.0.0.1:9/v1")])
    main = tmp_path / "steelyard.toml"
    main.write_text(main.read_text().replace("key_env = ", "key_secret = "))
    return tmp_path


@pytest.fixture
def run(folder):
    def runner(*arguments, given="", status=0):
        given_to = ["--studio", str(folder), "secrets", *arguments]
        result = CliRunner().invoke(cli, given_to, input=given)
        assert result.exit_code == status, result.output
        assert "sk-" not in result.output
        return result.output

    return runner


def faults(folder) -> str:
    with pytest.raises(StudioFaults) as caught:
        app.load_studio(folder, serving=True)
    return str(caught.value)


def test_a_secret_is_sealed_and_used(run, folder):
    assert "`steelyard secrets set UPSTREAM_KEY` takes it" in faults(folder)
    assert "UPSTREAM_KEY is sealed" in run("set", "UPSTREAM_KEY", given="sk-up\n")
    opened = app.load_studio(folder, serving=True)
    assert "sk-up" not in repr(opened)
    assert "sk-up" not in (folder / FILE).read_text()
    assert reaching.open_transports(opened, SystemClock()).keys() == {"echo-1", "m"}


def test_who_has_another_master_key_opens_nothing(run, folder, monkeypatch):
    run("set", "UPSTREAM_KEY", given="sk-up")
    monkeypatch.setenv(MASTER_VARIABLE, "another master key")
    assert "sealed under another" in faults(folder)
    assert "sealed under another" in run("set", "MORE", given="sk-more", status=1)
    monkeypatch.delenv(MASTER_VARIABLE)
    assert "is not set" in faults(folder)
    assert "openssl rand" in run("set", "MORE", given="sk-more", status=1)
    assert app.load_studio(folder).edition.deployments, "checking needs no secret"


def test_what_there_is(run):
    assert json.loads(run("list", "--json")) == [
        {"name": "UPSTREAM_KEY", "set": None, "deployments": ["m"]}
    ]
    run("set", "UPSTREAM_KEY", given="sk-up")
    run("set", "SPARE", given="sk-spare")
    rows = json.loads(run("list", "--json"))
    assert [(row["name"], row["deployments"]) for row in rows] == [
        ("SPARE", []),
        ("UPSTREAM_KEY", ["m"]),
    ]
    assert all(row["set"] for row in rows)
    assert "SPARE" in run("list")


def test_what_is_not_needed_is_removed(run, folder):
    assert 'no secret "SPARE"' in run("remove", "SPARE", status=1)
    run("set", "SPARE", given="sk-spare")
    assert "SPARE is removed" in run("remove", "SPARE")
    run("set", "UPSTREAM_KEY", given="sk-up")
    assert "is used by m" in run("remove", "UPSTREAM_KEY", status=1)
    assert app.load_studio(folder, serving=True)


@pytest.mark.parametrize(("name", "given"), [("a b", "sk-x"), ("A", ""), ("A", "sk-x\nsk-y")])
def test_what_is_not_taken(run, folder, name, given):
    run("set", name, given=given, status=1)
    assert not (folder / FILE).exists()


def test_a_key_of_two_lines_is_told_before_it_is_sent(folder, monkeypatch):
    main = folder / "steelyard.toml"
    main.write_text(main.read_text().replace("key_secret = ", "key_env = "))
    monkeypatch.setenv("UPSTREAM_KEY", "sk-up\nx: y")
    said = faults(folder)
    assert "UPSTREAM_KEY is no key" in said
    assert "sk-up" not in said
