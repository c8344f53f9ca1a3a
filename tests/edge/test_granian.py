"""What the other server makes of the same requests."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.edge.conftest import BODY_BYTES_MAX
from tests.edge.test_requests import BODY, REFUSED, chunked, exchange, sized
from tests.fixtures.gateway import Gateway, running

pytestmark = pytest.mark.xdist_group("granian")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    settings = (
        f'server = "granian"\nbody_bytes_max = {BODY_BYTES_MAX}\nbody_s = 1\n'
        "header_bytes_max = 16384"
    )
    with running(tmp_path_factory.mktemp("granian"), [], settings) as started:
        yield started


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED)
def test_refused(gateway, sent, status, code):
    got = exchange(gateway, sent)
    assert got.status == status
    assert code is None or got.error["code"] == code


@pytest.mark.parametrize("sent", [sized(BODY), chunked(BODY[:9], BODY[9:40], BODY[40:])])
def test_answered(gateway, sent):
    got = exchange(gateway, sent)
    assert got.status == 200
    assert gateway.record_of(got.headers["x-request-id"]).meters["ingress_bytes"] == len(BODY)


def test_a_stream(gateway):
    with gateway.client() as client:
        asked = client.chat.completions.create(
            model="echo-1", messages=[{"role": "user", "content": "one two three"}], stream=True
        )
        said = "".join(part.choices[0].delta.content or "" for part in asked)
    assert said == "one two three"
