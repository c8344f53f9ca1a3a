"""Benchmarks run, and their numbers say in what they are."""

from __future__ import annotations

import gzip
import importlib
import itertools
from decimal import Decimal

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import affinity, importing, oracle, overspend, rating
from steelyard import studio
from steelyard.clerk import files

UNITS = ("_s", "_per_s", "_mb_max", "_count", "_ratio")


def test_importing_measures_and_names_its_units(tmp_path):
    trace = tmp_path / "trace.csv.gz"
    with gzip.open(importing.TRACE) as whole:
        trace.write_bytes(gzip.compress(b"".join(itertools.islice(whole, 2001))))
    found = importing.measure(trace)
    assert found["calls_count"] == 2000
    assert found["lines_count"] > 2000
    assert {"calls_per_s", "rss_mb_max", "over_floor_ratio"} <= found.keys()
    assert all(key.endswith(UNITS) for key in found)
    assert all(number > 0 for number in found.values())
    written = benchmarks.table(found)
    assert len(written.splitlines()) == len(found)
    assert "calls_count" in written


def test_calls_that_share_a_prefix_find_its_cache_and_the_load_stays_even():
    found = affinity.measure(quick=True)
    assert found["over_single_ratio"] > 0.95
    assert found["load_cached_share_ratio"] < 0.6 * found["single_cached_share_ratio"]
    assert found["affinity_calls_over_even_ratio"] < 1.25
    assert found["affinity_beyond_bound_count"] == 0


def test_each_kind_of_contract_prices_each_call_of_the_rating_benchmark(tmp_path):
    rating.write_studio(tmp_path)
    rating.write_usage(tmp_path / "usage.parquet", 5000, range(rating.CONTRACTS))
    edition = studio.load(tmp_path, env=None).edition
    found = files.rate(tmp_path / "usage.parquet", tmp_path / "lines", edition)
    assert (found.calls, found.unrated) == (5000, 0)
    assert found.lines > 3 * 5000


@pytest.mark.parametrize("module", benchmarks.BENCHMARKS.values())
def test_each_benchmark_can_be_measured(module):
    assert callable(importlib.import_module(module).measure)


TIERED = {
    "0": {"input_tokens": "0.000001", "cached_input_tokens": "1E-7", "output_tokens": "0.000004"},
    "200000": {"input_tokens": "0.000002", "output_tokens": "0.000012"},
}
SAID = [
    # the usage (prompt, cached, written, completion, reasoning), what is charged, the cause
    ((1000, 0, 0, 10, 4), "0.00104", None),
    ((1000, 500, 0, 0, 0), "0.00055", None),
    ((1000, 500, 0, 0, 0), "0.000275", "half, by the clock of whoever asks"),
    ((200_000, 0, 0, 0, 0), "0.2", None),
    ((200_000, 0, 0, 0, 0), "0.4", "the boundary belongs to the next tier"),
    ((200_001, 0, 0, 1, 0), "0.400014", None),
    ((200_001, 0, 0, 1, 0), "0.200005", "the first tier whatever the length"),
    ((1000, 1000, 0, 0, 0), "0", "cached input is free"),
    ((1000, 0, 400, 0, 0), "0.0014", "cache writes are charged as input too"),
    ((1000, 0, 0, 0, 0), "7", "another reading"),
    ((1000, 0, 0, 0, 0), None, "no price: KeyError"),
]


@pytest.mark.parametrize(("used", "charged", "why"), SAID)
def test_the_oracle_names_why_a_figure_differs(used, charged, why):
    usage = oracle.Usage("some model", *used)
    known = {"some model": oracle.Known("model", TIERED, TIERED)}
    fault = None if charged else "KeyError: 'model'"
    ours = str(Decimal(oracle.as_told(TIERED, usage)).scaleb(-12))
    said = oracle.Said((charged, fault), (ours, None))
    found = [(each.whose, each.why) for each in oracle.differences(known, [usage], [said])]
    assert found == ([] if why is None else [("litellm", why)])


CALLS_TOLD = [
    # what other calls took, when one was refused, after how long, and whether it need not have been
    ("all is spent", [(0.0, 0.1, 550)], ("cover_used_up", 0.5, 0.0), 0),
    ("much is left, and it did not wait", [(0.0, 0.1, 10)], ("cover_used_up", 0.5, 0.0), 1),
    ("it waited, and all was held", [(0.0, 9.0, 10)] * 600, ("cover_held", 2.5, 2.0), 0),
    ("it waited, and much lay there", [(0.0, 0.1, 10)], ("cover_held", 2.5, 2.0), 1),
    ("the store was away", [(0.0, 0.1, 10)], ("cover_unknown", 2.5, 2.0), 0),
]


@pytest.mark.parametrize(("others", "refused", "false"), [row[1:] for row in CALLS_TOLD])
def test_what_counts_as_a_false_refusal(others, refused, false):
    told = [
        overspend.Told(began_s, end_s, "ok", used * 10**9, 0) for began_s, end_s, used in others
    ]
    code, ended_s, waited_s = refused
    told.append(overspend.Told(ended_s - waited_s, ended_s, code, None, waited_s))
    assert overspend.false_refusals(told) == false
