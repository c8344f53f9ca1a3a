"""Kinds: how a batch of each kind is drawn up again; the audit goes by this table alone.

To add a kind of batch:
1. Name it in ``ledger.chain.Kind``.
2. Write a module beside ``rated`` with two functions. ``draw`` makes a ``Drawn`` from the books
   before it (``Before``) and from what starts it, and nothing else: no clock, no file, no chance.
   ``made_from`` is what started it, as JSON; an instant or a choice that somebody made is in it.
   ``again`` reads ``batch.made_from`` and calls ``draw``.
3. Give ``again`` its line here. Whoever starts such a batch calls ``book.book`` with what ``draw``
   made; lines, transfers, balances, counters and hash follow from that.
Should it need to know more of the books, ``Before`` gets a method, and so do both who implement it:
``clerk.book.Standing`` (over the store) and ``clerk.audit`` (over what it has rebuilt).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steelyard.clerk import corrected, periodic, rated
from steelyard.clerk.drawn import Before, Drawn
from steelyard.ledger.chain import Batch, Kind

AGAIN: Mapping[Kind, Callable[[Before, Batch], Drawn]] = {
    "calls": rated.again,
    "correction": corrected.again,
    "period": periodic.again,
}
