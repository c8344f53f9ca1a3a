"""Who asks, what is shown, and what is not: a table of visitors and addresses."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from steelyard.console import site, views
from steelyard.console.site import Request, Response, Site
from steelyard.console.views import AwayError, File
from steelyard.governance.keys import Key, digest

OPERATOR, ACME, GLOBEX, REVOKED = "sixteen characters", "sk-acme", "sk-globex", "sk-was-acme"
NOW_US = 1_800_000_000_000_000
FILES = {
    "documents/2026-11/invoices/INV-acme.html": File("invoice", "acme", b"<p>acme pays</p>"),
    "documents/2026-11/notes/CRN-acme.json": File("credit note", "acme", b"{}"),
    "documents/2026-11/statements/STM-acme.txt": File("statement", "acme", b"acme earns"),
    "documents/2026-11/invoices/INV-globex.html": File("invoice", "globex", b"<p>globex</p>"),
}


def key(secret: str, customer: str, revoked_us: int | None = None) -> Key:
    return Key(
        id=customer,
        customer=customer,
        contract=f"{customer}-2026",
        sha256=digest(secret),
        revoked_us=revoked_us,
    )


KEYS = [key(ACME, "acme"), key(GLOBEX, "globex"), key(REVOKED, "acme", NOW_US - 1)]


def limits(of: str) -> views.Limits:
    purse = views.Purse(
        purse=f"budget/{of}/<b>",
        size="10",
        spent="2.5",
        leased="0",
        left="7.5",
        currency="USD",
        percent=25,
    )
    asked = views.Raise(
        id="ab12",
        purse=purse.purse,
        size="20",
        state="open",
        asked_by="lin",
        asked="today",
        decided_by="",
        note="<script>",
    )
    return views.Limits(purses=(purse,), raises=(asked,), workers=2)


class Made:
    """A source that knows two customers."""

    away = ""

    def key(self, sha256: str) -> Key | None:
        return next((each for each in KEYS if each.sha256 == sha256), None)

    def overview(self) -> views.Overview:
        if self.away:
            raise AwayError(self.away)
        month = views.Month(
            month="2026-11", closed=False, unbilled=(views.Amount("1,234.50", "USD"),)
        )
        return views.Overview(
            studio="Made",
            at="now",
            books=views.Books(batch=7, hash="c0ffee", calls=1234, first_open=None),
            waiting=views.Waiting(shipped=True, segments=1, size_bytes=3 << 20),
            turns=(views.Turn(name="clerk", holder="b 17", token=3, seconds_left=9),),
            gateways=(
                views.Gateway(url="http://a:8080", workers=4),
                views.Gateway(url="http://b:8080", wrong="no gateway answers"),
            ),
            limits=limits("all"),
            months=(month,),
            customers=("acme", "globex"),
            set_aside=2,
        )

    def issued(self, month: str) -> views.Issued | None:
        found = views.Issued(studio="Made", month=month, closed=True, documents=())
        return found if month == "2026-11" else None

    def account(self, customer: str) -> views.Account | None:
        if customer not in {"acme", "globex"}:
            return None
        return views.Account(
            studio="Made",
            at="now",
            customer=customer,
            months=(),
            limits=limits(customer),
            documents=(),
            keys=(),
        )

    def usage(self, customer: str, month: str) -> views.Usage | None:
        if month != "2026-11":
            return None
        return views.Usage(studio="Made", customer=customer, month=month, rows=(), totals=())

    def money(self, month: str) -> bytes | None:
        return b"<p>money</p>" if month == "2026-11" else None

    def file(self, path: str) -> File | None:
        return FILES.get(path)


def basic(secret: str, name: str = "anybody") -> str:
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


def ask(
    path: str,
    authorization: str | None = None,
    *,
    method: str = "GET",
    client: str = "192.0.2.7:40000",
    host: str = "console.example:8081",
    operator: str | None = OPERATOR,
    **headers: str,
) -> Response:
    told = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if authorization is not None:
        told["authorization"] = authorization
    asked = Request(method=method, path=path, client=client, headers=told, at_us=NOW_US)
    return Site(Made(), operator and digest(operator)).answer(asked)


WHO = {
    "operator": basic(OPERATOR),
    "acme": basic(ACME),
    "acme by token": f"bearer {ACME}",
    "nobody": None,
    "revoked": basic(REVOKED),
    "unknown": basic("sk-of-nobody"),
    "no secret": basic(""),
    "not Basic": "Basic !!!",
    "another scheme": f"Digest {ACME}",
}

SEEN = """
address                                       operator  acme  acme by token
/                                             200       200   200
/overview.json                                200       200   200
/customers/acme                               200       200   200
/customers/acme.json                          200       200   200
/customers/acme/2026-11                       200       200   200
/customers/acme/2026-12                       404       404   404
/customers/globex                             200       404   404
/customers/globex.json                        200       404   404
/customers/globex/2026-11                     200       404   404
/customers/%67lobex                           200       404   404
/customers/nobody                             404       404   404
/months/2026-11                               200       404   404
/months/2026-11.json                          200       404   404
/months/2026-11/money                         200       404   404
/months/2026-12                               404       404   404
/months/..                                    404       404   404
/documents/2026-11/invoices/INV-acme.html     200       200   200
/documents/2026-11/notes/CRN-acme.json        200       200   200
/documents/2026-11/statements/STM-acme.txt    200       404   404
/documents/2026-11/invoices/INV-globex.html   200       404   404
/documents/2026-11/invoices/INV-nobody.html   404       404   404
/documents/../steelyard.toml                  404       404   404
/nothing                                      404       404   404
"""
COLUMNS, *ROWS = [line.split("  ") for line in SEEN.strip().splitlines()]
VISITORS = [each.strip() for each in COLUMNS if each][1:]
CASES = [
    (words[0], visitor, int(status))
    for row in ROWS
    for words in [[each.strip() for each in row if each]]
    for visitor, status in zip(VISITORS, words[1:], strict=True)
]


@pytest.mark.parametrize(("path", "visitor", "status"), CASES)
def test_each_sees_what_is_its_own(path, visitor, status):
    assert ask(path, WHO[visitor]).status == status


@pytest.mark.parametrize("visitor", [each for each in WHO if each not in VISITORS])
@pytest.mark.parametrize("path", ["/", "/customers/acme", "/months/2026-11", "/nothing"])
def test_who_has_no_key_sees_nothing(path, visitor):
    refused = ask(path, WHO[visitor])
    assert refused.status == 401
    assert dict(refused.headers)["www-authenticate"].startswith("Basic ")
    assert b"acme" not in refused.body


NEAR: dict[str, dict[str, Any]] = {
    "from here": {"client": "127.0.0.1:5", "host": "localhost:8081"},
    "by address": {"client": "127.0.0.1:5", "host": "127.0.0.1:8081"},
    "by IPv6": {"client": "[::1]:5", "host": "[::1]:8081"},
    "by IPv6 alone": {"client": "[::1]:5", "host": "[::1]"},
}
FAR: dict[str, dict[str, Any]] = {
    "from elsewhere": {"client": "192.0.2.7:5", "host": "localhost:8081"},
    "a page that pointed its name here": {"client": "127.0.0.1:5", "host": "evil.example:8081"},
    "without a name": {"client": "127.0.0.1:5", "host": ""},
    "a proxy": {"client": "127.0.0.1:5", "host": "localhost:8081", "x_forwarded_for": "192.0.2.7"},
}


@pytest.mark.parametrize("how", NEAR)
def test_who_asks_from_this_machine_is_the_operator_while_there_is_no_key(how):
    assert ask("/months/2026-11", operator=None, **NEAR[how]).status == 200
    assert ask("/months/2026-11", operator=OPERATOR, **NEAR[how]).status == 401


@pytest.mark.parametrize("how", FAR)
def test_whoever_else_asks_is_not(how):
    assert ask("/months/2026-11", operator=None, **FAR[how]).status == 401


def test_a_customer_on_this_machine_is_still_a_customer():
    near = NEAR["from here"]
    assert ask("/months/2026-11", basic(ACME), operator=None, **near).status == 404
    assert ask("/months/2026-11", basic("wrong"), operator=None, **near).status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_is_changed_by_looking(method):
    assert ask("/", basic(OPERATOR), method=method).status == 405


def test_what_is_away_is_said():
    source = Made()
    source.away = "The database can't be reached now; try again in a while"
    asked = Request(
        method="GET",
        path="/",
        client="192.0.2.7:5",
        headers={"authorization": basic(OPERATOR)},
        at_us=NOW_US,
    )
    answer = Site(source, digest(OPERATOR)).answer(asked)
    assert answer.status == 503
    assert b"can&#39;t be reached now; try again in a while." in answer.body


def test_a_page_has_no_script_and_fetches_nothing_from_elsewhere():
    for path in ("/", "/customers/acme", "/customers/acme/2026-11", "/months/2026-11"):
        answer = ask(path, basic(OPERATOR))
        head = dict(answer.headers)
        assert head["content-security-policy"] == site.PAGE_POLICY
        assert head["cache-control"] == "no-store"
        assert b"<script" not in answer.body
        assert b"style=" not in answer.body
        assert b"http://" not in answer.body.replace(b"http://a:8080", b"").replace(
            b"http://b:8080", b""
        )
    assert b"&lt;script&gt;" in ask("/", basic(OPERATOR)).body


def test_a_page_and_its_json_show_the_same():
    page = ask("/", basic(OPERATOR)).body.decode()
    told = msgspec.json.decode(ask("/overview.json", basic(OPERATOR)).body)
    assert told["books"] == {"batch": 7, "hash": "c0ffee", "calls": 1234, "first_open": None}
    assert "batch 7" in page
    assert "1,234 calls; c0ffee…" in page
    assert "3 MiB" in page
    assert "b 17" in page
    assert "no gateway answers" in page
    assert "steelyard budgets approve ab12" in page
    assert "1,234.50 USD" in page
    assert told["limits"]["purses"][0]["left"] == "7.5"
    assert "7.5" in page


def test_a_customer_is_not_told_how_to_approve():
    page = ask("/", basic(ACME)).body
    assert b"by lin" in page
    assert b"steelyard budgets approve" not in page
