"""What every call goes through can be compiled: where it can't, a wheel has it interpreted."""

from __future__ import annotations

import ast
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import hatch_build
import steelyard

ROOT = Path(__file__).parents[1]
HOOKS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
MODULES = HOOKS["targets"]["wheel"]["hooks"]["custom"]["modules"]


def path_of(name):
    return ROOT / "src" / f"{name.replace('.', '/')}.py"


def test_what_is_compiled_is_there_and_in_order():
    assert [name for name in MODULES if not path_of(name).is_file()] == []
    assert sorted(set(MODULES)) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_no_value_is_defined_where_it_would_be_compiled(name):
    # mypyc would leave out what a class is told beside its bases: frozen, kw_only.
    classes = [
        each
        for each in ast.walk(ast.parse(path_of(name).read_text()))
        if isinstance(each, ast.ClassDef)
    ]
    assert [each.name for each in classes if each.keywords] == []


def test_it_can_be_compiled(tmp_path):
    assert hatch_build.translated(tmp_path, ROOT / "src", MODULES)


def test_without_a_compiler_nothing_is_compiled(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = sysconfig.get_config_var("CC").split()[0]
    assert hatch_build.lacking() == f"there is no C compiler ({compiler})"


def test_without_headers_nothing_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert hatch_build.lacking() == "Python's headers are not here"


def test_it_says_which_it_is():
    own = sys.modules.get("steelyard.dispatch.serve")
    compiled = own is not None and not str(own.__file__).endswith(".py")
    assert steelyard.build() == ("compiled" if compiled else "interpreted")
