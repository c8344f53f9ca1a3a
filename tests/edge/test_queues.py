"""Waiting for a place, over real sockets: at a deployment of capacity 1, and in a full worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.edge.test_limits import limited
from tests.fixtures.gateway import Gateway

pytestmark = pytest.mark.xdist_group("queues")

HELLO: Any = [{"role": "user", "content": "good morning to you"}]
NARROW = """
[[deployment]]
id = "narrow"
model = "narrow"
kind = "echo"
provider = "operator"
capacity = 1

[[model]]
id = "narrow"
family = "Test"
developer = "Steelyard"
licence = "Apache-2.0"
source = "https://example.org"
checked = 2026-11-24
"""
PATIENT = "queue_calls_max = 50\nqueue_s = 10"
HURRIED = "queue_calls_max = 1\nqueue_s = 1"
SHORT = "queue_calls_max = 1\nqueue_s = 10"
CROWDED = "concurrency_max = 1\n"


@pytest.fixture(params=["deployment", "worker"])
def studio(request, tmp_path) -> Callable[[str], Any]:
    """A gateway in which one call at a time is made: by its deployment, or by the worker."""

    def opened(settings: str) -> Any:
        if request.param == "deployment":
            return limited(tmp_path, [], NARROW, settings)
        return limited(tmp_path, [], NARROW.replace("capacity = 1", ""), CROWDED + settings)

    return opened


def call(gateway: Gateway, words: int, delay_ms: int, timeout: float = 20) -> int:
    """The tokens of an answer."""
    knobs = {"echo": {"words": words, "delay_ms": delay_ms}}
    with gateway.client() as client:
        made = client.with_options(timeout=timeout).chat.completions.create(
            model="narrow", messages=HELLO, extra_body=knobs
        )
    assert made.usage is not None
    return made.usage.completion_tokens


def busy(gateway: Gateway, seconds: float) -> Generator[None]:
    """The place is taken for so long, from when this goes on."""
    begun = threading.Event()
    knobs = {"echo": {"words": int(seconds * 50), "delay_ms": 20}}

    def stream() -> None:
        with gateway.client() as client:
            for _ in client.chat.completions.create(
                model="narrow", messages=HELLO, stream=True, extra_body=knobs
            ):
                begun.set()

    thread = threading.Thread(target=stream)
    thread.start()
    assert begun.wait(10)
    yield
    thread.join()


def test_calls_wait_for_each_other(studio):
    with studio(PATIENT) as gateway:
        began = time.monotonic()
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: call(gateway, 5, 20), range(6)))
        assert answers == [5] * 6
        assert time.monotonic() - began > 6 * 5 * 0.02
        assert len(gateway.records()) == len(gateway.announcements()) == 6


def test_the_line_is_bounded_and_a_wait_has_its_deadline(studio):
    with studio(HURRIED) as gateway:
        place = busy(gateway, 2)
        next(place)
        with ThreadPoolExecutor(1) as threads:
            began = time.monotonic()
            waiting = threads.submit(call, gateway, 1, 0)
            time.sleep(0.2)
            with pytest.raises(openai.InternalServerError) as caught:
                call(gateway, 1, 0)
            assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
            assert caught.value.response.headers["retry-after"] == "1"
            assert not waiting.done()
            with pytest.raises(openai.InternalServerError) as caught:
                waiting.result()
            assert caught.value.code == "overloaded"
            assert time.monotonic() - began > 0.9
        next(place, None)
        assert len(gateway.records()) == len(gateway.announcements()) == 1


def test_who_hangs_up_leaves_the_line(studio):
    with studio(SHORT) as gateway:
        place = busy(gateway, 0.9)
        next(place)
        with pytest.raises(openai.APITimeoutError):
            call(gateway, 1, 0, timeout=0.2)
        time.sleep(0.1)
        assert call(gateway, 3, 0) == 3
        next(place, None)
        assert len(gateway.records()) == len(gateway.announcements()) == 2
