from __future__ import annotations

import msgspec
import pytest

from steelyard import published
from steelyard.published import Published
from steelyard.settings import (
    ClerkSettings,
    GatewaySettings,
    JournalSettings,
    Settings,
    StudioSettings,
)
from steelyard.studio import load
from tests.fixtures.gateway import write_studio
from tests.fixtures.whole import SECRETS

AS_IT_WAS = Settings(studio=StudioSettings(name="A", operator="op"))


def changed(**tables: object) -> Settings:
    return msgspec.structs.replace(AS_IT_WAS, **tables)


def test_what_was_published_is_read_as_it_was(tmp_path):
    studio = load(write_studio(tmp_path, []), SECRETS)
    published.publish(Published(3, studio))
    assert published.read(tmp_path) == Published(3, studio)
    assert published.file_of(tmp_path).stat().st_mode & 0o777 == 0o600


def test_it_has_no_secret(tmp_path):
    published.publish(Published(1, load(write_studio(tmp_path, []), SECRETS)))
    written = published.file_of(tmp_path).read_bytes()
    assert not [secret for secret in SECRETS.values() if secret.encode() in written]


@pytest.mark.parametrize(
    ("after", "at_restart", "at_start"),
    [
        # what was changed, what waits for new workers, what waits until all is started anew
        (AS_IT_WAS, (), ()),
        (changed(gateway=GatewaySettings(total_s=5)), ("[gateway] total_s",), ()),
        (
            changed(gateway=GatewaySettings(port=1, workers=3)),
            (),
            ("[gateway] port", "[gateway] workers"),
        ),
        (changed(journal=JournalSettings(segment_bytes_max=1 << 20)), ("[journal]",), ()),
        (changed(clerk=ClerkSettings(poll_ms=10)), (), ("[clerk]",)),
        (changed(studio=StudioSettings(name="B", operator="op")), (), ()),
    ],
)
def test_what_waits(after, at_restart, at_start):
    assert published.at_restart(AS_IT_WAS, after) == at_restart
    assert published.at_start(AS_IT_WAS, after) == at_start
