"""Site: who asks, what they may see, and the page at each address."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

from msgspec import Struct

from steelyard.console import pages, views
from steelyard.console.views import AwayError, Source, View
from steelyard.governance import keys

HEALTH = "/healthz"
READS = frozenset({"GET", "HEAD"})
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""By these a proxy says for whom it asks."""

HEARD = ("authorization", "host", *FORWARDED)
"""The headers that are listened to."""

TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
CSS = "text/css; charset=utf-8"

HEADERS = (
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)
_POLICY = "default-src 'none'; {styles}base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY = _POLICY.format(styles="style-src 'self'; ")
PAPER_POLICY = _POLICY.format(styles="style-src 'unsafe-inline'; ")
"""Documents bring their own style, in the page, so that they stand alone as files."""

_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_PAPER = "documents/"
_ISSUED_TO_CUSTOMERS = frozenset({"invoice", "credit note", "debit note"})


class Request(Struct, frozen=True, kw_only=True):
    """What is asked: the path as it was sent, without the query; names of headers in lower case."""

    method: str
    path: str
    client: str
    """The address and port of the connection's other end."""
    headers: Mapping[str, str]
    """Those that are listened to."""
    at_us: int
    """Unit: µs since 1970-01-01 UTC."""


class Response(Struct, frozen=True):
    """What is answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Visitor(Struct, frozen=True):
    """Who asks: a customer, or (None) the studio's operator."""

    customer: str | None


class Site:
    """Answers requests from a source.

    ``operator_sha256`` is the hex digest of the operator's own secret; without one the operator is
    whoever asks from this machine, by its own name and through no proxy.
    """

    def __init__(self, source: Source, operator_sha256: str | None) -> None:
        self._source = source
        self._operator = operator_sha256

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == HEALTH:
            return _response(200, b'{"status":"ok"}', JSON)
        if request.method not in READS:
            return _said(
                405, "Pages are only looked at here: GET and HEAD.", ("allow", "GET, HEAD")
            )
        if request.path == pages.STYLE:
            return _response(200, pages.style(), CSS)
        try:
            visitor = self._visitor(request)
            if visitor is None:
                return _said(
                    401,
                    "Give a key as the password: a caller's, or the operator's.",
                    ("www-authenticate", 'Basic realm="Steelyard", charset="UTF-8"'),
                )
            found = self._show(visitor, unquote(request.path).strip("/"))
        except AwayError as exc:
            return _said(503, f"{exc}.")
        return found or _said(404, "There is nothing here, or not for you.")

    def _visitor(self, request: Request) -> Visitor | None:
        secret = _secret(request.headers.get("authorization", ""))
        if not secret:
            near = self._operator is None and _is_near(request)
            return Visitor(None) if near else None
        digest = keys.digest(secret)
        if self._operator is not None and hmac.compare_digest(digest, self._operator):
            return Visitor(None)
        key = self._source.key(digest)
        known = {} if key is None else {digest: key}
        found = keys.recognise(known, secret, request.at_us)
        return Visitor(found.customer) if isinstance(found, keys.Key) else None

    def _show(self, visitor: Visitor, path: str) -> Response | None:
        if path.startswith(_PAPER):
            return self._paper(visitor, path)
        plain = path.removesuffix(".json")
        found = self._view(visitor, plain)
        if isinstance(found, Response) or found is None:
            return found
        if plain != path:
            return _response(200, views.as_json(found), JSON)
        body = pages.page(found, for_operator=visitor.customer is None)
        return _response(200, body, HTML, PAGE_POLICY)

    def _view(self, visitor: Visitor, path: str) -> View | Response | None:
        """What is at a path, which is the visitor's own as far as it names a customer."""
        match path.split("/"):
            case [""] | ["overview"] if visitor.customer is None:
                return self._source.overview()
            case [""] | ["overview"] if visitor.customer is not None:
                return self._source.account(visitor.customer)
            case ["customers", customer, *month] if visitor.customer in {None, customer}:
                return self._of_customer(customer, month)
            case ["months", month] if visitor.customer is None and _MONTH.fullmatch(month):
                return self._source.issued(month)
            case ["months", month, "money"] if visitor.customer is None and _MONTH.fullmatch(month):
                body = self._source.money(month)
                return None if body is None else _response(200, body, HTML, PAPER_POLICY)
            case _:
                return None

    def _of_customer(self, customer: str, month: list[str]) -> View | None:
        match month:
            case []:
                return self._source.account(customer)
            case [name] if _MONTH.fullmatch(name):
                return self._source.usage(customer, name)
            case _:
                return None

    def _paper(self, visitor: Visitor, path: str) -> Response | None:
        file = self._source.file(path)
        if file is None:
            return None
        own = file.party == visitor.customer and file.kind in _ISSUED_TO_CUSTOMERS
        if visitor.customer is not None and not own:
            return None
        kind = _KINDS.get(path.rpartition(".")[2], TEXT)
        return _response(200, file.content, kind, PAPER_POLICY)


_KINDS = {"html": HTML, "json": JSON, "txt": TEXT}


def _response(status: int, body: bytes, kind: str, policy: str = PAGE_POLICY) -> Response:
    head = (("content-type", kind), ("content-security-policy", policy), *HEADERS)
    return Response(status, head, body)


def _said(status: int, sentence: str, *more: tuple[str, str]) -> Response:
    made = _response(status, pages.said(HTTPStatus(status).phrase, sentence), HTML)
    return Response(status, (*made.headers, *more), made.body)


def _secret(authorization: str) -> str | None:
    """A bearer's token, or the password of a browser's login, under whatever name."""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                login = base64.b64decode(rest.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None
            return login.partition(":")[2]
        case _:
            return None


def _is_near(request: Request) -> bool:
    """From this machine, by its own name, and not from a proxy on it that speaks for somebody.

    Another name would be that of a page from elsewhere, which has pointed it here.
    """
    asked = request.headers.get("host", "")
    name = asked if asked.endswith("]") else asked.rpartition(":")[0] or asked
    near = _is_loopback(request.client.rpartition(":")[0])
    named = name.lower() == "localhost" or _is_loopback(name)
    return near and named and not any(request.headers.get(each) for each in FORWARDED)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
