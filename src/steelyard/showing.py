"""Showing: what people look at, read together from the studio, the books and the shared limits."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from steelyard import app, covering, machines
from steelyard.clerk import printing
from steelyard.clerk.batch import Journal
from steelyard.clerk.shipping import ObjectsError
from steelyard.console import views
from steelyard.console.views import (
    Account,
    Amount,
    AwayError,
    CallerKey,
    Document,
    Issued,
    Limits,
    Month,
    Overview,
    Usage,
    Used,
)
from steelyard.dispatch import quotas
from steelyard.dispatch.leasing import Held, StoreAwayError
from steelyard.dispatch.purses import LOT_PICO, Funds, with_money
from steelyard.governance.funding import Raise
from steelyard.governance.keys import Key
from steelyard.lab import asking, page, scrapes
from steelyard.lab import money as lab
from steelyard.lab.asking import UnreadableError
from steelyard.lab.scrapes import NotMetricsError
from steelyard.rating.lines import LineSum
from steelyard.store import shown
from steelyard.store.lines import LinesError
from steelyard.store.migrations import SchemaError
from steelyard.studio import Studio, StudioFaults
from steelyard.values import money, periods
from steelyard.values.clock import Clock

_HASH_DIGITS = 12
_MIB = 1 << 20
_HUNDRED = 100


def purse(funds: Funds, held: Held) -> views.Purse:
    """A purse as people read it; what a contract gives is in units, and says its size itself."""
    if held.purse.startswith(quotas.PREFIX):
        return views.Purse(
            purse=held.purse,
            size="",
            spent=str(held.spent),
            leased=str(held.granted - held.spent),
            left="",
            currency="units",
            percent=None,
        )
    size_pico, currency = _size(funds, held.purse)
    spent, leased = held.spent * LOT_PICO, (held.granted - held.spent) * LOT_PICO
    left = "" if size_pico is None else money.exact(size_pico - spent - leased)
    return views.Purse(
        purse=held.purse,
        size="" if size_pico is None else money.exact(size_pico),
        spent=money.exact(spent),
        leased=money.exact(leased),
        left=left,
        currency=currency,
        percent=(spent + leased) * _HUNDRED // size_pico if size_pico else None,
    )


def _size(funds: Funds, name: str) -> tuple[int | None, str]:
    """How large a purse is now, and in what; None for one that the studio has no more."""
    kind, _, rest = name.partition("/")
    if kind == "contract":
        terms = funds.terms.get(rest)
        if not terms or terms[-1].limit_pico is None:
            return None, ""
        limit_pico = funds.raised_pico.get(name, terms[-1].limit_pico)
        return limit_pico + funds.paid_pico.get(rest, 0), terms[-1].currency
    found = next((b for b in funds.budgets if b.id == rest.partition("/")[0]), None)
    if found is None:
        return None, ""
    return funds.raised_pico.get(name, found.amount_pico), found.currency


def raised(funding: Iterable[Raise]) -> tuple[views.Raise, ...]:
    """Requests to raise as people read them, those that are open first."""
    found = sorted(funding, key=lambda each: (each.state != "open", -each.asked_us))
    return tuple(
        views.Raise(
            id=each.id,
            purse=each.purse,
            size=money.exact(each.size_pico),
            state=each.state,
            asked_by=each.asked_by,
            asked=_minute(each.asked_us),
            decided_by=each.decided_by,
            note=each.note,
        )
        for each in found
    )


class Showing:
    """A studio's folder and what its books and stores say, for pages: a console's source.

    Nothing is written. The studio's files are read again when one of them has changed; while they
    have a fault, what was read before holds.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Read the studio. Raises: StudioFaults."""
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        """One page at a time: they share the studio, and what is read of it."""
        self._seen = _changed(folder)
        self._studio = _load(folder)
        self._engine: sa.Engine | None = None
        self._sums: tuple[str, int, Sequence[LineSum]] | None = None
        """The lines' sums that were asked for last: of which month, up to which batch."""

    def key(self, sha256: str) -> Key | None:
        """The key with this digest: one that the studio's file declares, or an issued one."""
        with self._reading() as engine:
            declared = {each.sha256: each for each in self._studio.keys if each.sha256}
            return declared.get(sha256) or app.open_keys(engine).of(sha256)

    def overview(self) -> Overview:
        """The studio, now."""
        with self._reading() as engine:
            head, counted = app.open_books(engine).head(), shown.counted(engine)
            return Overview(
                studio=self._studio.settings.studio.name,
                at=_minute(self._clock.wall_us()),
                books=views.Books(
                    batch=head.batch,
                    hash=head.hash.hex()[:_HASH_DIGITS],
                    calls=counted.calls,
                    first_open=head.first_open,
                ),
                waiting=self._waiting(engine),
                turns=tuple(
                    views.Turn(
                        name=each.name,
                        holder=each.holder,
                        token=each.token,
                        seconds_left=each.left_s,
                    )
                    for each in shown.turns(engine)
                ),
                gateways=tuple(map(_gateway, _gateways(self._studio))),
                limits=self._limits(engine, lambda _: True),
                months=self._months(engine, None),
                customers=tuple(sorted({each.customer for each in self._studio.edition.contracts})),
                set_aside=counted.set_aside,
            )

    def issued(self, month: str) -> Issued | None:
        """A month's documents."""
        with self._reading() as engine:
            months = {each.month: each for each in self._months(engine, None)}
            if month not in months:
                return None
            return Issued(
                studio=self._studio.settings.studio.name,
                month=month,
                closed=months[month].closed,
                documents=_documents(shown.listed(engine, period=month)),
            )

    def account(self, customer: str) -> Account | None:
        """What a customer has; its statements as an earner are not among it."""
        with self._reading() as engine:
            edition = self._studio.edition
            contracts = {each.id for each in edition.contracts if each.customer == customer}
            keys = [*self._studio.keys, *app.open_keys(engine).all()]
            own = {each.id: each for each in keys if each.customer == customer}
            if not contracts and not own:
                return None
            papers = shown.listed(engine, party=customer)
            return Account(
                studio=self._studio.settings.studio.name,
                at=_minute(self._clock.wall_us()),
                customer=customer,
                months=self._months(engine, customer),
                limits=self._limits(
                    engine, lambda name: _is_of(self._studio, name, customer, contracts, own)
                ),
                documents=_documents(each for each in papers if each.kind != "statement"),
                keys=tuple(map(_caller_key, own.values())),
            )

    def usage(self, customer: str, month: str) -> Usage | None:
        """What a customer used in a month, as far as it is booked."""
        with self._reading() as engine:
            sums = [
                each
                for each in self._line_sums(engine, month)
                if each.customer == customer and each.side != "cost"
            ]
        if not sums:
            return None
        totals: defaultdict[str, int] = defaultdict(int)
        for each in sums:
            totals[each.currency] += each.amount_pico
        return Usage(
            studio=self._studio.settings.studio.name,
            customer=customer,
            month=month,
            rows=_used(sums),
            totals=_amounts(totals),
        )

    def money(self, month: str) -> bytes | None:
        """The page that shows where a month's money goes."""
        with self._reading() as engine:
            sums = self._line_sums(engine, month)
        reports = lab.reports(sums, self._studio.edition)
        name = self._studio.settings.studio.name
        return page.page(reports, name).encode() if reports else None

    def file(self, path: str) -> views.File | None:
        """A document's file, as it was issued."""
        with self._reading() as engine:
            found = shown.paper(engine, path)
        return None if found is None else views.File(found.kind, found.party, found.content)

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def _reading(self) -> Generator[sa.Engine]:
        """The database, and the studio as its files are now. Raises: AwayError."""
        with self._lock:
            try:
                self._renew()
                self._engine = self._engine or app.open_database(self._studio)
                yield self._engine
            except OperationalError as exc:
                msg = "The database can't be reached now; try again in a while"
                raise AwayError(msg) from exc
            except (SchemaError, ObjectsError, LinesError) as exc:
                raise AwayError(str(exc)) from exc

    def _renew(self) -> None:
        seen = _changed(self._folder)
        if seen != self._seen:
            self._seen = seen
            with suppress(StudioFaults):
                self._studio = _load(self._folder)

    def _waiting(self, engine: sa.Engine) -> views.Waiting | None:
        shared = machines.open_shared(self._studio, engine)
        cursors = app.open_books(engine).cursors()
        if shared is not None:
            unbooked = shared.index.unbooked()
            left = {each.name: each.frontier - cursors.get(each.name, 0) for each in unbooked}
        else:
            journal = self._studio.root / "journal"
            if not journal.is_dir():
                return None
            left = Journal(journal).left(cursors)
        size_bytes = sum(left.values())
        return views.Waiting(shipped=shared is not None, segments=len(left), size_bytes=size_bytes)

    def _limits(self, engine: sa.Engine, mine: Callable[[str], bool]) -> Limits:
        funds = app.open_funds(self._studio, engine)
        requests = raised(each for each in app.open_funding(engine).raises if mine(each.purse))
        if not funds.paid:
            return Limits(raises=requests)
        try:
            with closing(covering.open_allowances(self._studio)) as store:
                held = [each for each in with_money(store.held()) if mine(each.purse)]
                _, living, _ = store.state()
        except StoreAwayError:
            wrong = "The store of shared limits can't be reached now."
            return Limits(raises=requests, wrong=wrong)
        purses = tuple(purse(funds, each) for each in held)
        return Limits(purses=purses, raises=requests, workers=len(living))

    def _months(self, engine: sa.Engine, customer: str | None) -> tuple[Month, ...]:
        """Months with something charged, of one customer or of all, the latest first."""
        closed = app.open_books(engine).closed()
        charged: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for each in shown.unbilled(engine):
            if customer in {None, each.customer}:
                charged[each.period][each.currency] += each.amount_pico
        names = {*charged, *(closed if customer is None else ())}
        return tuple(
            Month(month=name, closed=name in closed, unbilled=_amounts(charged[name]))
            for name in sorted(names, reverse=True)
        )

    def _line_sums(self, engine: sa.Engine, month: str) -> Sequence[LineSum]:
        """The sums of a month's lines, which come from the object store where there is one."""
        batch = app.open_books(engine).head().batch
        if self._sums is None or self._sums[:2] != (month, batch):
            shared = machines.open_shared(self._studio, engine)
            if shared is not None:
                shared.bring()
            found = app.open_closings(self._studio, engine).line_sums(month)
            self._sums = month, batch, found
        return self._sums[2]


def _load(folder: Path) -> Studio:
    """The studio, with the secrets of declared keys if the environment has all that it names."""
    try:
        return app.load_studio(folder, serving=True)
    except StudioFaults:
        return app.load_studio(folder)


def _changed(folder: Path) -> frozenset[tuple[str, int]]:
    """The studio's files, and when each was changed."""
    files = [*folder.glob("*.toml"), *folder.glob("*/*.toml")]
    return frozenset((str(each), each.stat().st_mtime_ns) for each in files)


def _gateways(opened: Studio) -> Sequence[str]:
    """Where the gateways are: those that are named, or this machine's own."""
    named, own = opened.settings.console.gateways, opened.settings.gateway
    return named or ((asking.url(own.host, own.port),) if own.port else ())


def _gateway(url: str) -> views.Gateway:
    try:
        found = list(scrapes.read(url, asking.metrics(url)).items())
    except (UnreadableError, NotMetricsError) as exc:
        return views.Gateway(url=url, wrong=str(exc))

    def now(name: str) -> int:
        return int(scrapes.total(f"steelyard_{name}", found))

    return views.Gateway(
        url=url,
        workers=now("worker_info"),
        memory_mib=now("memory_bytes") // _MIB,
        in_flight=now("calls_in_flight"),
        queued=now("queue_length"),
    )


def _documents(found: Iterable[shown.Listed]) -> tuple[Document, ...]:
    return tuple(
        Document(
            number=each.number,
            kind=each.kind,
            month=each.period,
            party=each.party,
            contract=each.contract,
            total=money.payable(each.paid_pico, each.currency),
            currency=each.currency,
            files={path.rpartition(".")[2]: f"/{path}" for path in each.paths},
        )
        for each in found
    )


def _used(sums: Iterable[LineSum]) -> tuple[Used, ...]:
    """Sums by what was used, whatever its price was."""
    found: defaultdict[tuple[str, str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for each in sums:
        group = found[each.contract, each.model, each.meter, each.component, each.currency]
        group[0] += each.units
        group[1] += each.amount_pico
    return tuple(
        Used(
            contract=contract,
            model=model,
            meter=printing.what(meter, account, amount_pico),
            units=f"{units:,}",
            amount=money.grouped(amount_pico, 2),
            currency=currency,
        )
        for (contract, model, meter, account, currency), (units, amount_pico) in sorted(
            found.items()
        )
    )


def _amounts(by_currency: Mapping[str, int]) -> tuple[Amount, ...]:
    return tuple(
        Amount(money.grouped(amount_pico, 2), currency)
        for currency, amount_pico in sorted(by_currency.items())
        if amount_pico
    )


def _caller_key(key: Key) -> CallerKey:
    return CallerKey(
        id=key.id,
        name=key.name,
        hint=key.hint,
        contract=key.contract,
        workspace=key.workspace,
        project=key.project,
        revoked="" if key.revoked_us is None else _minute(key.revoked_us),
    )


def _is_of(
    opened: Studio, name: str, customer: str, contracts: Collection[str], keys: Collection[str]
) -> bool:
    """Whether a purse is a customer's alone, by all that its name says."""
    kind, _, rest = name.partition("/")
    if kind == "contract":
        return rest in contracts
    if name.startswith(quotas.PREFIX):
        return rest.partition("/")[0] in contracts
    budget, _, rest = rest.partition("/")
    found = next((each for each in opened.budgets if each.id == budget), None)
    if found is None:
        return False
    parts = (part.partition("=") for part in rest.rpartition("/")[0].split(","))
    said = {payer: value for payer, _, value in parts}
    payer: dict[str, bool] = {
        "customer": said.get("customer") == customer,
        "workspace": said.get("workspace", "").startswith(f"{customer}/"),
        "project": said.get("project", "").startswith(f"{customer}/"),
        "key": said.get("key") in keys,
    }
    asked = [payer[each] for each in found.of if each in payer]
    return bool(asked) and all(asked)


def _minute(at_us: int) -> str:
    return f"{periods.from_us(at_us):%Y-%m-%d %H:%M} UTC"
