"""What a worker counts, and that a label has a bounded number of values."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from steelyard.edge.telemetry import exposition
from steelyard.edge.telemetry.families import FAMILIES, Sample
from steelyard.edge.telemetry.tallies import Tallies
from tests.edge.telemetry.seen import attempt, ended, landed, refused


def shown(tallies: Tallies) -> dict[tuple[str, frozenset[str]], float]:
    """Each number by its name and its labels' values, as Prometheus' own parser reads them."""
    text = exposition.text({"1": tallies.samples()}).decode()
    return {
        (sample.name, frozenset(sample.labels.values()) - {"1", "m", "d"}): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_call_is_counted_once_and_its_tokens_by_meter():
    tallies = Tallies(10)
    tallies.ended(ended())
    tallies.ended(ended())
    tallies.ended(ended(outcome="failed", error="upstream_broken", meters={}))
    found = shown(tallies)
    calls = "steelyard_calls_total"
    assert found[calls, frozenset({"acme", "completed", ""})] == 2
    assert found[calls, frozenset({"acme", "failed", "upstream_broken"})] == 1
    for meter, count in {
        "input_tokens": 60,
        "cached_input_tokens": 20,
        "output_tokens": 10,
    }.items():
        assert found["steelyard_tokens_total", frozenset({"acme", meter})] == count
    assert ("steelyard_tokens_total", frozenset({"acme", "egress_bytes"})) not in found


def test_times_fall_into_their_buckets():
    tallies = Tallies(10)
    tallies.first_byte(attempt(), 250_000)
    tallies.ended(ended())
    found = shown(tallies)
    # One second after the first byte, for the ten tokens after the first of eleven.
    per_token = "steelyard_time_per_output_token_seconds"
    assert found[f"{per_token}_sum", frozenset({"acme"})] == 0.1
    assert found[f"{per_token}_bucket", frozenset({"acme", "0.075"})] == 0
    assert found[f"{per_token}_bucket", frozenset({"acme", "0.1"})] == 1
    first = "steelyard_time_to_first_token_seconds"
    assert found[f"{first}_bucket", frozenset({"acme", "0.2"})] == 0
    assert found[f"{first}_bucket", frozenset({"acme", "0.3"})] == 1
    assert found["steelyard_call_duration_seconds_count", frozenset({"acme"})] == 1


def test_a_call_that_did_not_stream_has_no_time_per_token():
    tallies = Tallies(10)
    tallies.ended(ended(first_token_us=None))
    assert not [name for name, _ in shown(tallies) if "per_output_token" in name]


def test_a_call_answered_from_the_cache_is_counted_as_one():
    tallies = Tallies(10)
    tallies.ended(ended(meters={"cache_hits": 1}, first_token_us=None))
    found = shown(tallies)
    assert found["steelyard_cache_hits_total", frozenset({"acme"})] == 1
    assert found["steelyard_calls_total", frozenset({"acme", "completed", ""})] == 1
    assert not [name for name, _ in found if name == "steelyard_tokens_total"]


def test_attempts_in_flight_come_to_nothing():
    tallies = Tallies(10)
    gauge = ("steelyard_attempts_in_flight", frozenset[str]())
    tallies.began(attempt())
    tallies.began(attempt())
    assert shown(tallies)[gauge] == 2
    tallies.landed(landed())
    tallies.landed(landed("upstream_timeout"))
    found = shown(tallies)
    assert found[gauge] == 0
    assert found["steelyard_attempts_total", frozenset({"failed", "upstream_timeout"})] == 1


def test_customers_beyond_the_most_are_others():
    tallies = Tallies(2)
    for number in range(50):
        tallies.ended(ended(customer=f"customer-{number}"))
        tallies.first_byte(attempt(customer=f"customer-{number}"), 1)
        tallies.refused(refused(customer=f"customer-{number}"))
    samples = list(tallies.samples())
    for name in ("steelyard_calls_total", "steelyard_refusals_total"):
        at = FAMILIES[name].labels.index("customer")
        counts = {each.labels[at]: each.values[0] for each in samples if each.family == name}
        assert counts == {"customer-0": 1, "customer-1": 1, "other": 48}


def test_a_key_that_does_not_open_names_no_customer():
    tallies = Tallies(10)
    tallies.refused(refused(customer=None))
    assert shown(tallies)["steelyard_refusals_total", frozenset({"overloaded", ""})] == 1


def test_labels_are_escaped():
    sample = Sample("steelyard_refusals_total", ('a"b\\c\nd', "acme"), [1])
    text = exposition.text({"1": [sample]}).decode()
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels["code"] == 'a"b\\c\nd'


def test_each_metric_of_two_workers_stands_together():
    both = {str(n): [Sample("steelyard_calls_in_flight", (), [n + 2])] for n in (1, 2)}
    (family,) = text_string_to_metric_families(exposition.text(both).decode())
    assert {each.labels["worker"]: each.value for each in family.samples} == {"1": 3, "2": 4}
