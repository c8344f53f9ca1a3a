"""What changed between two looks at the metrics, per second and by quantile."""

from __future__ import annotations

import pytest

from steelyard.lab import scrapes
from steelyard.lab.pulse import Quantiles, Sold, pulse
from steelyard.lab.scrapes import Histogram, NotMetricsError

SERIES = 'worker="1",model="m",deployment="d",customer="{customer}"'
CALLS = f'steelyard_calls_total{{{{{SERIES},outcome="{{outcome}}",code=""}}}} {{value}}\n'
TOKENS = f'steelyard_tokens_total{{{{{SERIES},meter="{{meter}}"}}}} {{value}}\n'
PICO = 10**12


def calls(value: int, customer: str = "acme", outcome: str = "completed") -> str:
    return CALLS.format(customer=customer, outcome=outcome, value=value)


def tokens(value: int, meter: str, customer: str = "acme") -> str:
    return TOKENS.format(customer=customer, meter=meter, value=value)


def changed(before: str, after: str) -> scrapes.Scrape:
    return scrapes.changed(scrapes.read("a", before), scrapes.read("a", after))


def test_rates_are_what_was_counted_in_between():
    before = calls(100) + tokens(1000, "input_tokens") + tokens(50, "cached_input_tokens")
    after = calls(120) + tokens(3000, "input_tokens") + tokens(150, "cached_input_tokens")
    after += calls(5, outcome="failed") + tokens(30, "output_tokens", "globex") + calls(5, "globex")
    found = pulse(changed(before, after), [], 10)
    assert (found.all.calls, found.all.failed) == (3.0, 0.5)
    assert (found.all.input_tokens, found.all.output_tokens) == (210.0, 3.0)
    by_customer = {each.name: (each.calls, each.output_tokens) for each in found.customers}
    assert by_customer == {"acme": (2.5, 0.0), "globex": (0.5, 3.0)}
    assert [each.name for each in found.models] == ["m"]


def test_a_worker_that_began_anew_counts_from_nothing():
    assert pulse(changed(calls(100), calls(7)), [], 1).all.calls == 7.0


def test_the_same_series_of_two_gateways_are_added():
    both = scrapes.merged([scrapes.read("a", calls(3)), scrapes.read("b", calls(4))])
    assert pulse(both, [], 1).all.calls == 7.0


def test_money_is_exact_and_divided_once():
    sold = [
        Sold("acme", "m", "USD", 5),
        Sold("acme", "m", "USD", 5),
        Sold("globex", "m", "CNY", 3 * PICO),
    ]
    found = pulse(changed("", calls(1) + calls(1, "globex")), sold, 4)
    assert found.all.charged == {"CNY": "0.75", "USD": "0.000000000002"}
    assert {each.name: each.charged for each in found.customers} == {
        "acme": {"USD": "0.000000000002"},
        "globex": {"CNY": "0.75"},
    }


def test_without_a_studio_there_is_no_money():
    assert pulse(changed("", calls(1)), None, 1).all.charged is None


def test_what_was_sold_is_shown_though_metrics_name_only_others():
    found = pulse(changed("", calls(1, "other")), [Sold("late", "m", "USD", PICO)], 1)
    assert [each.name for each in found.customers] == ["late", "other"]


HISTOGRAM = Histogram((0.1, 0.2, 0.5, float("inf")), (0, 10, 20, 20))

QUANTILES = [
    (HISTOGRAM, 0.25, 0.15),
    (HISTOGRAM, 0.5, 0.2),
    (HISTOGRAM, 0.75, 0.35),
    (HISTOGRAM, 1.0, 0.5),
    (Histogram((0.1, float("inf")), (1, 4)), 0.95, 0.1),
    (Histogram((), ()), 0.5, None),
    (Histogram((0.1, float("inf")), (0, 0)), 0.5, None),
]


@pytest.mark.parametrize(("histogram", "part", "value"), QUANTILES)
def test_a_quantile_lies_within_its_bucket(histogram, part, value):
    assert histogram.quantile(part) == (None if value is None else pytest.approx(value))


def test_times_are_those_of_the_window():
    name = "steelyard_time_to_first_token_seconds_bucket"

    def buckets(*counts: int) -> str:
        bounds = ("0.1", "0.2", "+Inf")
        lines = zip(bounds, counts, strict=True)
        labels = SERIES.format(customer="acme")
        return "".join(f'{name}{{{labels},le="{le}"}} {count}\n' for le, count in lines)

    change = changed(buckets(1000, 1000, 1000), buckets(1000, 1010, 1010))
    assert pulse(change, [], 1).all.first_token_ms == Quantiles(150.0, 195.0)


def test_breakers_and_queues_are_as_they_are_now():
    gauges = (
        'steelyard_attempts_in_flight{worker="1",model="m",deployment="d"} 3\n'
        'steelyard_attempts_in_flight{worker="2",model="m",deployment="d"} 4\n'
        'steelyard_breaker_state{worker="1",deployment="d"} 0\n'
        'steelyard_breaker_state{worker="2",deployment="d"} 2\n'
        'steelyard_queue_length{worker="1",line="worker"} 5\n'
        'steelyard_queue_length{worker="2",line="worker"} 1\n'
    )
    found = pulse(changed(gauges, gauges), [], 1)
    (place,) = found.deployments
    assert (place.in_flight, place.breaker) == (7, "open")
    assert (found.queued, found.queues) == (6, {"worker": 6})


def test_what_is_no_metrics_is_refused():
    with pytest.raises(NotMetricsError, match="not in Prometheus' format"):
        scrapes.read("http://somewhere", "<html>{</html>")
