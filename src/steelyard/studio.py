"""Studio: a folder's files read, checked together, and held as one frozen value.

Owns: which files there are, and reading them. What they say is the catalogue's and the keys' own.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, cast

import msgspec

from steelyard.catalogue import (
    books,
    budgets,
    checks,
    contracts,
    instants,
    limits,
    models,
    parties,
    routes,
    shares,
    windows,
)
from steelyard.catalogue.budgets import Budget
from steelyard.catalogue.checks import Draft, Kind
from steelyard.catalogue.documents import Deployment, Edition, Holidays, Model, PriceBook
from steelyard.catalogue.limits import Limit
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.routes import Route
from steelyard.catalogue.shapes import shape, shapes
from steelyard.catalogue.sheets import Fault, Found, Sheet, suggestion
from steelyard.catalogue.templates import Template, template
from steelyard.governance.keys import PRIORITY_MAX, Key, digest
from steelyard.settings import Settings

MAIN_FILE = "steelyard.toml"
FILE_BYTES_MAX = 4 << 20
FILES_MAX = 10_000
"""Bounds on one file and on one folder of a studio."""

_WRITTEN_ID = re.compile(r'^id\s*=\s*"([^"]+)"', re.MULTILINE)
"""An id in a text that is no TOML: what refers to it is not at fault."""

_LISTS = ("deployment", "model", "customer", "earner", "key", "limit", "budget", "route")


class Studio(msgspec.Struct, frozen=True, kw_only=True):
    """A sound studio. ``keys`` are those that its file declares; issued ones are in the store."""

    root: Path
    settings: Settings
    edition: Edition
    keys: tuple[Key, ...]
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    routes: tuple[Route, ...] = ()
    """In the order of their ids, in which they are held."""
    warnings: tuple[Fault, ...] = ()


class StudioFaults(Exception):  # noqa: N818 - many faults, each of which is one
    """A studio that can't be used; ``faults`` say where and why, in the order of the files."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Models and price books, as they come with Steelyard or as a studio has them."""

    models: tuple[Model, ...]
    books: tuple[PriceBook, ...]
    holidays: tuple[Holidays, ...] = ()


class _Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    contract: Identifier
    customer: Identifier | None = None
    name: Text = ""
    models: tuple[Pattern, ...] = ("*",)
    regions: tuple[Pattern, ...] = ("*",)
    routing: bool = False
    workspace: Identifier | None = None
    project: Identifier | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=PRIORITY_MAX)] = 0
    secret_env: Text | None = None
    sha256: Annotated[str, msgspec.Meta(min_length=64, max_length=64)] | None = None


def load(folder: Path, env: Mapping[str, str] | None) -> Studio:
    """Read and check a whole studio.

    ``env`` supplies the secrets that the files name; with None nothing is served, so no secret is
    looked for, and a key whose secret is in the environment has an empty digest.
    Raises: StudioFaults.
    """
    main = _sheet(folder / MAIN_FILE, MAIN_FILE)
    settings = _settings(main)
    zone = "UTC" if settings is None else settings.studio.zone
    own_books = [*_folder(folder, "prices")]
    own_contracts = [*_folder(folder, "contracts")]
    own_shares = [*_folder(folder, "shares")]
    own_holidays = [*_folder(folder, "holidays")]
    model_sheets, book_sheets, holiday_sheets = _packaged()
    packaged_sheets = (*model_sheets, *book_sheets, *holiday_sheets)
    own_sheets = (main, *own_books, *own_contracts, *own_shares, *own_holidays)
    sheets = (*own_sheets, *packaged_sheets)
    draft = Draft(
        main=main,
        operator=None if settings is None else settings.studio.operator,
        customers=parties.read(main, "customer"),
        earners=parties.read(main, "earner"),
        models=models.read_own(main),
        models_packaged=[found for sheet in model_sheets for found in models.read_family(sheet)],
        deployments=models.read_deployments(main),
        books=_present([books.read(sheet) for sheet in own_books if sheet.readable]),
        books_packaged=_present([books.read(sheet) for sheet in book_sheets]),
        contracts=_present(
            [contracts.read(sheet, zone) for sheet in own_contracts if sheet.readable]
        ),
        shares=_present([shares.read(sheet, zone) for sheet in own_shares if sheet.readable]),
        holidays=_present([windows.read_holidays(each) for each in own_holidays if each.readable]),
        holidays_packaged=_present([windows.read_holidays(sheet) for sheet in holiday_sheets]),
        limits=limits.read(main),
        budgets=budgets.read(main),
        declared=_declared(main, (*own_books, *book_sheets), own_contracts),
    )
    if main.readable:
        checks.check(draft)
    routed = routes.read(main, draft.deployments)
    keys = _keys(draft, env)
    if env is not None:
        _upstreams(draft, folder, env)
        _tokenizers(draft, folder)
    _cache_rules(draft, settings)
    faults = tuple(sorted(fault for sheet in sheets for fault in sheet.faults))
    if faults or settings is None:
        raise StudioFaults(faults)
    return Studio(
        root=folder,
        settings=settings,
        edition=_edition(draft, settings),
        keys=keys,
        limits=tuple(checks.effective(draft.limits, [])),
        budgets=tuple(checks.effective(draft.budgets, [])),
        routes=tuple(each.value for each in routed),
        warnings=tuple(sorted(each for sheet in sheets for each in sheet.warnings)),
    )


def packaged() -> Catalogue:
    """The catalogue that comes with Steelyard."""
    model_sheets, book_sheets, holiday_sheets = _packaged()
    found_models = [found for sheet in model_sheets for found in models.read_family(sheet)]
    found_books = _present([books.read(sheet) for sheet in book_sheets])
    found_holidays = _present([windows.read_holidays(sheet) for sheet in holiday_sheets])
    sheets = (*model_sheets, *book_sheets, *holiday_sheets)
    faults = [fault for sheet in sheets for fault in sheet.faults]
    assert not faults, faults
    return Catalogue(
        models=tuple(checks.effective([], found_models)),
        books=tuple(checks.effective([], found_books)),
        holidays=tuple(checks.effective([], found_holidays)),
    )


def templates() -> tuple[Template, ...]:
    """The ready-made contracts that come with Steelyard, by name."""
    data = resources.files("steelyard.catalogue") / "data" / "templates"
    files = sorted((f for f in data.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(
        template(file.name.removesuffix(".toml"), file.read_text("utf-8")) for file in files
    )


def _sheet(path: Path | Traversable, name: str) -> Sheet:
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except FileNotFoundError:
        reason = f"there is no {name} here; `steelyard init` writes one"
        return _unread(name, reason)
    except UnicodeDecodeError as exc:
        return _unread(name, f"not UTF-8 at byte {exc.start}; save the file as UTF-8")
    except OSError as exc:
        return _unread(name, f"can't be read: {exc.strerror}")
    if len(raw) > FILE_BYTES_MAX:
        return _unread(name, f"larger than {FILE_BYTES_MAX} bytes; split it")
    return Sheet(name, text)


def _unread(name: str, reason: str) -> Sheet:
    sheet = Sheet(name, "")
    sheet.readable = False
    sheet.fault((), reason)
    return sheet


def _folder(root: Path, name: str) -> list[Sheet]:
    paths = sorted(path for path in (root / name).glob("*.toml") if path.name[0] != ".")
    if len(paths) > FILES_MAX:
        return [_unread(name, f"more than {FILES_MAX} files")]
    return [_sheet(path, f"{name}/{path.name}") for path in paths]


def _packaged() -> tuple[list[Sheet], list[Sheet], list[Sheet]]:
    data = resources.files("steelyard.catalogue") / "data"
    names = ("models", "prices", "holidays")
    model_sheets, book_sheets, holiday_sheets = (_resources(data, name) for name in names)
    return model_sheets, book_sheets, holiday_sheets


def _resources(data: Traversable, name: str) -> list[Sheet]:
    files = sorted((data / name).iterdir(), key=lambda file: file.name)
    return [_sheet(f, f"catalogue/{name}/{f.name}") for f in files if f.name.endswith(".toml")]


def _present(found: Sequence[Found[checks.D] | None]) -> list[Found[checks.D]]:
    return [each for each in found if each is not None]


def _settings(main: Sheet) -> Settings | None:
    if main.faults:
        return None
    raw = {name: value for name, value in main.table.items() if name not in _LISTS}
    settings = shape(main, (), raw, Settings, also=_LISTS)
    if settings is not None:
        instants.zone(main, ("studio", "zone"), settings.studio.zone)
    return None if main.faults else settings


def _declared(
    main: Sheet, book_sheets: Sequence[Sheet], contract_sheets: Sequence[Sheet]
) -> dict[Kind, frozenset[str]]:
    def ids(name: str) -> frozenset[str]:
        return frozenset(str(row["id"]) for row in main.rows(name) if "id" in row)

    def heads(sheets: Sequence[Sheet]) -> frozenset[str]:
        found = {str(sheet.table["id"]) for sheet in sheets if "id" in sheet.table}
        for sheet in sheets:
            if not sheet.readable:
                found.update(_WRITTEN_ID.findall(sheet.text))
        return frozenset(found)

    return {
        "customer": ids("customer"),
        "earner": ids("earner"),
        "deployment": ids("deployment"),
        "book": heads(book_sheets),
        "contract": heads(contract_sheets),
    }


def _edition(draft: Draft, settings: Settings) -> Edition:
    """The documents in one order, whatever their files are called: equal ones hash equal."""

    def ordered(group: Sequence[Found[checks.D]]) -> tuple[checks.D, ...]:
        return tuple(checks.effective(group, []))

    def versions(group: Sequence[Found[checks.V]]) -> tuple[checks.V, ...]:
        return tuple(sorted((f.value for f in group), key=lambda v: (v.id, v.valid_from)))

    return Edition(
        operator=settings.studio.operator,
        zone=settings.studio.zone,
        customers=ordered(draft.customers),
        earners=ordered(draft.earners),
        models=tuple(checks.effective(draft.models, draft.models_packaged)),
        deployments=ordered(draft.deployments),
        books=tuple(checks.effective(draft.books, draft.books_packaged)),
        contracts=versions(draft.contracts),
        shares=versions(draft.shares),
        holidays=tuple(checks.effective(draft.holidays, draft.holidays_packaged)),
    )


def _keys(draft: Draft, env: Mapping[str, str] | None) -> tuple[Key, ...]:
    found: list[Found[Key]] = []
    for row in shapes(draft.main, "key", _Key):
        key = _key(draft, row, env)
        if key is not None:
            found.append(Found(row.sheet, row.path, key))
    checks.unique(found)
    return tuple(each.value for each in found)


def _upstreams(draft: Draft, folder: Path, env: Mapping[str, str]) -> None:
    """Note each key of an upstream, and each authority, that can't be had or used."""
    from steelyard.governance import sealed  # noqa: PLC0415 - libraries, only to serve
    from steelyard.upstream.connect import trust  # noqa: PLC0415 - the same

    for row in draft.deployments:
        written = row.sheet.rows("deployment")[cast("int", row.path[1])]
        for where, field, name in _named(row.value, written):
            if where == "env":
                secret = _secret(row, field, name, env)
                if secret and not sealed.fits(secret):
                    row.fault((field,), f"{name} is no key: it has spaces, or more than one line")
                continue
            try:
                sealed.open_one(folder, env.get(sealed.MASTER_VARIABLE), name)
            except sealed.SealedError as exc:
                row.fault((field,), str(exc))
        if row.value.ca_file is not None:
            try:
                trust(folder / row.value.ca_file)
            except ssl.SSLError:
                row.fault(("ca_file",), "no certificate is in this file")
            except OSError as exc:
                row.fault(("ca_file",), f"can't be read: {exc.strerror}")


def _tokenizers(draft: Draft, folder: Path) -> None:
    """Note each model's tokenizer that can't be read."""
    from steelyard.upstream import counting  # noqa: PLC0415 - a library, only to serve

    for row in draft.models:
        if row.value.tokenizer is not None:
            try:
                counting.FileCounter(folder / row.value.tokenizer)
            except counting.TokenizerError as exc:
                row.fault(("tokenizer",), str(exc))


def _named(deployment: Deployment, written: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Where a deployment names what is kept elsewhere, in what field, and the name."""
    keys = {"env": deployment.keys_env, "secret": deployment.keys_secret}
    logins = {"env": deployment.proxy_login_env, "secret": deployment.proxy_login_secret}
    for where, names in keys.items():
        field = f"keys_{where}" if f"keys_{where}" in written else f"key_{where}"
        yield from ((where, field, name) for name in names)
    for where, login in logins.items():
        if login is not None:
            yield where, f"proxy_login_{where}", login


def _key(draft: Draft, row: Found[_Key], env: Mapping[str, str] | None) -> Key | None:
    raw = row.value
    if (raw.secret_env is None) == (raw.sha256 is None):
        row.fault((), 'write either secret_env = "MY_KEY" or sha256 = "..."')
        return None
    if raw.sha256 is not None and not _is_hex(raw.sha256):
        row.fault(("sha256",), "a SHA-256 digest is 64 hexadecimal digits")
        return None
    known = draft.declared["contract"]
    if raw.contract not in known:
        row.fault(
            ("contract",), f'unknown contract "{raw.contract}"{suggestion(raw.contract, known)}'
        )
        return None
    parsed = [each.value for each in draft.contracts if each.value.id == raw.contract]
    customer = parsed[0].customer if parsed else raw.customer or ""
    if raw.customer is not None and raw.customer != customer:
        row.fault(("customer",), f'contract "{raw.contract}" is with "{customer}"')
        return None
    models = {each.id for each in checks.effective(draft.models, draft.models_packaged)}
    for index, pattern in enumerate(raw.models):
        checks.match_models(pattern, models, row, ("models", index))
    secret = _secret(row, "secret_env", raw.secret_env, env)
    return Key(
        id=raw.id,
        customer=customer,
        contract=raw.contract,
        models=raw.models,
        regions=raw.regions,
        routing=raw.routing,
        sha256=raw.sha256 or (digest(secret) if secret else ""),
        name=raw.name,
        hint=f"${raw.secret_env}" if raw.secret_env else "",
        workspace=raw.workspace or "",
        project=raw.project or "",
        priority=raw.priority,
    )


def _cache_rules(draft: Draft, settings: Settings | None) -> None:
    known = {each.id for each in checks.effective(draft.models, draft.models_packaged)}
    for index, rule in enumerate(() if settings is None else settings.cache):
        found = Found(draft.main, ("cache", index), rule)
        if not rule.models and not rule.keys:
            found.fault((), 'say what is cached: models = ["qwen3-*"], keys = ["app"], or both')
        for place, pattern in enumerate(rule.models):
            checks.match_models(pattern, known, found, ("models", place))


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdef" for char in text.lower())


def _secret(
    row: Found[checks.D], field: str, name: str | None, env: Mapping[str, str] | None
) -> str | None:
    if name is None or env is None:
        return None
    secret = env.get(name)
    if not secret:
        row.fault((field,), f"the environment variable {name} is not set; it holds the secret")
    return secret
