"""The gateway: each path and method, and what answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from steelyard.dispatch import serve, snapshot
from steelyard.dispatch.calls import Answer, Ask, CallerGoneError
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.refusals import Code, Refusal, model_not_found
from steelyard.edge.body import Limits
from steelyard.edge.exchange import Exchange
from steelyard.edge.openai import chat, embeddings, models
from steelyard.edge.rsgi import HTTPProtocol, Scope
from steelyard.edge.telemetry.opening import Telemetry

Understand = Callable[[bytes], Ask | Refusal]

CALLS: Mapping[str, Understand] = {
    "/v1/chat/completions": chat.ask,
    "/v1/embeddings": embeddings.ask,
}
"""Paths that call a model, and how their bodies are understood."""

MODELS = "/v1/models"
METRICS = "/metrics"
READS = frozenset({"GET", "HEAD"})


class Gateway:
    """Answers requests as an RSGI application."""

    def __init__(self, desk: Desk, limits: Limits, telemetry: Telemetry | None = None) -> None:
        self._desk = desk
        self._limits = limits
        self._metrics = None if telemetry is None else telemetry.page
        self._traces_percent = None if telemetry is None else telemetry.traces_percent
        self._pages: dict[str, Callable[[Exchange], Refusal | None]] = {
            "/healthz": self._health,
            "/readyz": self._readiness,
            MODELS: self._list_models,
        }

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """Answer one request."""
        desk = self._desk
        exchange = Exchange(
            scope, proto, desk.clock, desk.random_bits(), self._limits, self._traces_percent
        )
        understand = exchange.understand = CALLS.get(scope.path)
        try:
            if understand is not None and scope.method == "POST":
                served = await serve.serve(desk, exchange)
            else:
                served = await self._show(exchange)
            if isinstance(served, Answer):
                exchange.respond(served.body, more=served.headers)
            elif served is not None:
                await exchange.refuse(served)
        except CallerGoneError:
            return
        except Exception:  # the caller is told, and the server logs the fault
            if not exchange.begun:
                message = "Something went wrong in the gateway; its log has the fault."
                await exchange.refuse(Refusal(code=Code.INTERNAL_ERROR, message=message))
            raise
        finally:
            exchange.end()

    async def _show(self, exchange: Exchange) -> Refusal | None:
        """Answer what is no call."""
        path, method = exchange.scope.path, exchange.scope.method
        metrics = self._metrics if path == METRICS else None
        if metrics is not None and not metrics.is_for(exchange.scope):
            return _no_way(path, method, known=False)
        if metrics is not None and method in READS:
            return await metrics.show(exchange)
        page = self._pages.get(path)
        if page is None and path.startswith(MODELS + "/"):
            page = self._show_model
        if page is not None and method in READS:
            return page(exchange)
        return _no_way(path, method, known=bool(exchange.understand or page or metrics))

    def _health(self, exchange: Exchange) -> None:
        exchange.respond(b'{"status":"ok"}')

    def _readiness(self, exchange: Exchange) -> None:
        if self._desk.draining or self._desk.failed.is_set():
            exchange.respond(b'{"status":"stopping"}', 503)
        else:
            exchange.respond(b'{"status":"ready"}')

    def _list_models(self, exchange: Exchange) -> Refusal | None:
        arrival, known = exchange.arrival, self._desk.snapshot
        key = serve.authenticate(known, arrival)
        if isinstance(key, Refusal):
            return key
        return exchange.respond(models.listed(snapshot.visible(known, key, arrival.at_us)))

    def _show_model(self, exchange: Exchange) -> Refusal | None:
        arrival, known = exchange.arrival, self._desk.snapshot
        key = serve.authenticate(known, arrival)
        if isinstance(key, Refusal):
            return key
        wanted = unquote(exchange.scope.path.removeprefix(MODELS + "/"))
        model = known.models.get(wanted)
        if model is None or snapshot.choose(known, key, wanted, arrival.at_us) is None:
            return model_not_found(wanted)
        return exchange.respond(models.shown(model))


def _no_way(path: str, method: str, *, known: bool) -> Refusal:
    if known:
        message = f"{path} does not take {method[:20]}."
        return Refusal(code=Code.METHOD_NOT_ALLOWED, message=message)
    return Refusal(code=Code.NOT_FOUND, message=f"There is nothing at {path[:200]!r}.")
