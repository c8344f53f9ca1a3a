"""What a worker has of telemetry: nothing that is not wanted."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from steelyard.edge.telemetry.opening import Options, Telemetry
from steelyard.edge.telemetry.tallies import Tallies

OFF = Options(
    worker="1",
    writer="gateway-1",
    metrics="off",
    customers_max=10,
    access_log="off",
    otlp_endpoint=None,
    otlp_interval_s=10,
    traces_percent=100,
    items_max=100,
    shared=None,
)


def test_when_all_is_off_nobody_is_told():
    telemetry = Telemetry(OFF, {})
    assert telemetry.observer is None
    assert telemetry.traces_percent is None
    telemetry.close()


def test_metrics_alone_are_told_without_a_detour():
    telemetry = Telemetry(msgspec.structs.replace(OFF, metrics="loopback"), {})
    assert isinstance(telemetry.observer, Tallies)
    telemetry.close()


def test_a_log_is_told_with_the_metrics(tmp_path):
    log = str(tmp_path / "access.log")
    telemetry = Telemetry(msgspec.structs.replace(OFF, metrics="all", access_log=log), {})
    assert telemetry.observer is not None
    assert not isinstance(telemetry.observer, Tallies)
    dropped = [each for each in telemetry.samples() if each.family.endswith("_dropped_total")]
    assert [(each.labels, each.values) for each in dropped] == [(("access_log",), [0])]
    telemetry.close()


def test_a_worker_without_otlp_does_not_import_it():
    code = (
        "import sys; import steelyard.worker; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False)
    assert ran.returncode == 0
