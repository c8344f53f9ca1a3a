from __future__ import annotations

import hashlib

import pytest

from steelyard.clerk.closing import draw_up
from steelyard.clerk.publishing import publish
from steelyard.values import periods

NOVEMBER = periods.month("2026-11")


@pytest.fixture(scope="module")
def closing(november):
    closed_us = periods.bounds_us(NOVEMBER, "America/Los_Angeles")[1]
    return draw_up(november.sums, 1, november.edition, NOVEMBER, closed_us, (1, 1))


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def issued(closing):
    return {file.path: file.sha256 for document in closing.documents for file in document.files}


def test_every_document_stands_in_the_folder(closing, tmp_path):
    written = publish(closing.documents, tmp_path)
    assert hashes(tmp_path) == issued(closing)
    assert set(written) == set(issued(closing))
    assert "documents/2026-11/invoices/INV-2026-11-acme-0001.html" in written
    assert "documents/2026-11/statements/STM-2026-11-alibaba-CNY.json" in written


def test_publishing_again_writes_nothing(closing, tmp_path):
    publish(closing.documents, tmp_path)
    assert publish(closing.documents, tmp_path) == ()


def test_what_a_kill_or_a_hand_left_wrong_is_mended(closing, tmp_path):
    publish(closing.documents, tmp_path)
    missing, altered, *_ = sorted(issued(closing))
    (tmp_path / missing).unlink()
    (tmp_path / altered).write_bytes(b"You owe nothing.")
    half_written = (tmp_path / missing).with_name(f".{missing.rpartition('/')[2]}.new")
    half_written.write_bytes(b"half of a")
    assert set(publish(closing.documents, tmp_path)) == {missing, altered}
    assert hashes(tmp_path) == issued(closing)
