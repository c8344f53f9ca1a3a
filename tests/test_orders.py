from __future__ import annotations

import asyncio
import socket

import pytest

from steelyard import orders
from steelyard.orders import AlreadyUpError, NobodyThereError, Order, Outcome


async def reloaded(order: Order) -> Outcome:
    return Outcome(edition=7, workers=2) if order.verb == "reload" else Outcome(faults=("no",))


async def test_an_order_is_carried_out_and_answered(tmp_path):
    async with orders.taking(tmp_path, reloaded):
        done = await asyncio.to_thread(orders.give, tmp_path, Order("reload"))
        refused = await asyncio.to_thread(orders.give, tmp_path, Order("restart"))
    assert (done.edition, done.workers, done.faults) == (7, 2, ())
    assert refused.faults == ("no",)


def test_where_nobody_takes_orders(tmp_path):
    with pytest.raises(NobodyThereError):
        orders.give(tmp_path, Order("reload"))


async def test_one_takes_orders_and_another_may_not(tmp_path):
    async with orders.taking(tmp_path, reloaded):
        with pytest.raises(AlreadyUpError):
            async with orders.taking(tmp_path, reloaded):
                pass
        assert (await asyncio.to_thread(orders.give, tmp_path, Order("reload"))).edition == 7
    async with orders.taking(tmp_path, reloaded):
        pass


@pytest.mark.parametrize("sent", [b"{}\n", b"nonsense\n", b'{"verb":"stop"}\n', b""])
async def test_what_is_no_order_gets_no_answer(tmp_path, sent):
    def give() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "run" / "up.sock"))
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(100)

    async with orders.taking(tmp_path, reloaded):
        assert await asyncio.to_thread(give) == b""
        assert (await asyncio.to_thread(orders.give, tmp_path, Order("reload"))).edition == 7
