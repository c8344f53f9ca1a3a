"""The keyring: an upstream's keys, used in turn, each left alone for a while when it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

REFUSED_S = 300
"""How long a key rests that the upstream does not accept, or whose account can't pay."""

BUSY_S = 2
"""How long a key rests that was used too often, when the upstream does not say."""

REST_S_MAX = 600
"""How long an upstream can make a key rest."""

REFUSED = (401, 402)
BUSY = 429

_US = 1_000_000
_DIGITS_MAX = 9


class Credential(NamedTuple):
    """A key and where it is from: the name can be told, the secret never is."""

    name: str
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"


class Keyring:
    """Keys in turn. Unit: instants are µs of one clock that does not step."""

    def __init__(self, keys: Sequence[Credential]) -> None:
        assert keys
        self.count = len(keys)
        self._keys = tuple(keys)
        self._rests_until_us = dict.fromkeys(range(len(keys)), 0)
        self._next = 0

    def pick(self, now_us: int) -> Credential | None:
        """The next key that does not rest; None when all do."""
        for step in range(self.count):
            index = (self._next + step) % self.count
            if self._rests_until_us[index] <= now_us:
                self._next = (index + 1) % self.count
                return self._keys[index]
        return None

    def rests(self, key: Credential, now_us: int) -> bool:
        """Whether a key rests."""
        return self._rests_until_us[self._keys.index(key)] > now_us

    def told(self, key: Credential, status: int, retry_after: str, now_us: int) -> int:
        """Note what an upstream answered to a key; the seconds that it rests now, 0 for none."""
        if status in REFUSED:
            rest_s = REFUSED_S
        elif status == BUSY:
            rest_s = _seconds(retry_after)
        else:
            return 0
        index = self._keys.index(key)
        until_us = now_us + rest_s * _US
        self._rests_until_us[index] = max(self._rests_until_us[index], until_us)
        return rest_s

    def wait_s(self, now_us: int) -> int:
        """The whole seconds until a key can be picked."""
        return max(0, -((now_us - min(self._rests_until_us.values())) // _US))


def _seconds(retry_after: str) -> int:
    if not retry_after.isascii() or not retry_after.isdigit():
        return BUSY_S
    return min(REST_S_MAX, max(1, int(retry_after[:_DIGITS_MAX])))
