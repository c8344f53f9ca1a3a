from __future__ import annotations

import pytest
import sqlalchemy as sa

from steelyard.store import tables
from steelyard.store.engines import open_engine, reading, writing
from steelyard.store.migrations import SchemaError

LARGEST = 10**38 - 1


def test_opening_twice_keeps_what_is_there(url):
    first = open_engine(url)
    with writing(first) as connection:
        connection.execute(sa.insert(tables.cursors).values(segment="a", offset=1))
    second = open_engine(url)
    with reading(second) as connection:
        assert connection.scalar(sa.select(tables.cursors.c.offset)) == 1
    first.dispose()
    second.dispose()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE schema_version SET version = 99", "schema version 99"),
        ("DELETE FROM schema_version", "schema version none"),
        ("DROP TABLE schema_version", "tables of another program"),
    ],
)
def test_a_database_that_is_not_ours_is_refused(engine, url, statement, sentence):
    with writing(engine) as connection:
        connection.exec_driver_sql(statement)
    with pytest.raises(SchemaError, match=sentence):
        open_engine(url)


@pytest.mark.parametrize("amount", [0, 1, -1, 2**63, 2**64 + 1, LARGEST, -LARGEST])
def test_amounts_keep_every_digit(engine, amount):
    row = {"account": "a", "currency": "CNY", "period": "2026-11"}
    with writing(engine) as connection:
        connection.execute(
            sa.insert(tables.balances).values(**row, debit_pico=amount, credit_pico=0)
        )
    with reading(engine) as connection:
        found = connection.scalar(sa.select(tables.balances.c.debit_pico))
    assert found == amount
    assert type(found) is int


def test_what_fails_is_not_written(engine):
    class StopError(Exception):
        pass

    def fail(connection):
        connection.execute(sa.insert(tables.cursors).values(segment="a", offset=1))
        raise StopError

    with pytest.raises(StopError), writing(engine) as connection:
        fail(connection)
    with reading(engine) as connection:
        assert connection.execute(sa.select(tables.cursors)).all() == []


def test_a_reader_sees_one_moment(engine):
    with reading(engine) as reader:
        assert reader.execute(sa.select(tables.cursors)).all() == []
        with writing(engine) as writer:
            writer.execute(sa.insert(tables.cursors).values(segment="a", offset=1))
        assert reader.execute(sa.select(tables.cursors)).all() == []
    with reading(engine) as reader:
        assert len(reader.execute(sa.select(tables.cursors)).all()) == 1
