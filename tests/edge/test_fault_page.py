"""The page of faults says what the tables say."""

from __future__ import annotations

from tests.edge import fault_page


def test_the_page_is_what_the_tables_say(golden):
    golden("../../docs/reference/faults.md", fault_page.page())
