from __future__ import annotations

import pytest

from steelyard.clerk.shipping import ObjectsError
from steelyard.store import objects
from steelyard.store.objects import Objects
from tests.fixtures import s3


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path, monkeypatch):
    if request.param == "file":
        yield Objects(f"file://{tmp_path}/objects")
        return
    with s3.serving(tmp_path / "s3") as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield Objects(server.env["STEELYARD_OBJECTS"])


@pytest.mark.parametrize("data", [b"", b"x", bytes(5 << 20)])
def test_what_was_put_is_got(store, data):
    store.put("journal/gateway-1/00000001.seg", data)
    assert store.get("journal/gateway-1/00000001.seg") == data


def test_what_is_put_again_is_the_same(store):
    for _ in range(2):
        store.put("lines/1.parquet", b"lines")
    assert store.get("lines/1.parquet") == b"lines"


def test_what_was_never_put_is_not_there(store):
    with pytest.raises(ObjectsError, match=r"lines/2\.parquet can't be got"):
        store.get("lines/2.parquet")


def test_a_store_that_is_away_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "RETRIES_MAX", 0)
    with s3.serving(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
    store = Objects(server.env["STEELYARD_OBJECTS"])
    for act in (lambda: store.get("x"), lambda: store.put("x", b"")):
        with pytest.raises(ObjectsError):
            act()


def test_who_has_no_right_is_told(monkeypatch, tmp_path):
    with s3.serving(tmp_path) as server:
        for name, value in {**server.env, "AWS_SECRET_ACCESS_KEY": "another"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ObjectsError, match="x can't be put"):
            Objects(server.env["STEELYARD_OBJECTS"]).put("x", b"")


@pytest.mark.parametrize("url", ["nowhere", "s3://"])
def test_a_url_that_names_no_store(url):
    with pytest.raises(ObjectsError, match="names no object store"):
        Objects(url)
