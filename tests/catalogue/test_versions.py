from __future__ import annotations

import pytest

from steelyard.catalogue import versions


@pytest.mark.parametrize(
    ("version", "zone", "words"),
    [
        ("acme@2026-01-01", "UTC", "acme of 2026-01-01"),
        (
            "acme@2026-01-01 bailian@2024-12-31T16:00:00Z",
            "Asia/Shanghai",
            "acme of 2026-01-01, bailian of 2025-01-01",
        ),
        ("bailian@2024-12-31T16:00:00Z", "UTC", "bailian of 2024-12-31 16:00:00"),
        ("", "UTC", ""),
    ],
)
def test_a_version_reads_in_words(version, zone, words):
    assert versions.in_words(version, zone) == words
