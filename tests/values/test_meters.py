from __future__ import annotations

import pytest

from steelyard.values import meters


@pytest.mark.parametrize(
    ("meter", "words", "per", "per_words"),
    [
        ("cached_input_tokens", "Cached input tokens", 1_000_000, "1M tokens"),
        ("compute_ms", "Compute ms", 1000, "1,000 ms"),
        ("egress_bytes", "Egress bytes", 1_000_000, "1M bytes"),
        ("requests", "Requests", 1, "call"),
        ("seats", "Seats", 1, "seat"),
    ],
)
def test_a_meter_is_named_and_priced_as_documents_print_it(meter, words, per, per_words):
    assert meters.in_words(meter) == words
    assert meters.priced_per(meter) == (per, per_words)
