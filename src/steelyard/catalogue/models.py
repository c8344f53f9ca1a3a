"""Models and deployments, parsed from the packaged catalogue and from ``steelyard.toml``."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue.documents import Deployment, Model, ServiceTier
from steelyard.catalogue.names import Identifier, ModelId, Text
from steelyard.catalogue.shapes import shape, shapes
from steelyard.catalogue.sheets import Found, Sheet

Modality = Literal["text", "image", "audio", "video", "file", "embedding"]
_Tokens = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=3600)]

_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^?#\s]*)?")
_AUTHORITY = re.compile(r"https?://[^/?#]*@")


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    family: Text | None = None
    developer: Text | None = None
    source: Text | None = None
    checked: date | None = None


class _Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: ModelId
    family: Text | None = None
    developer: Text | None = None
    licence: Text
    context: _Tokens | None = None
    output_max: _Tokens | None = None
    input: tuple[Modality, ...] = ("text",)
    output: tuple[Modality, ...] = ("text",)
    reasoning: bool = False
    tokenizer: Text | None = None
    source: Text | None = None
    checked: date | None = None


class _Deployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    model: ModelId
    kind: Literal["engine", "openai", "anthropic", "echo"]
    provider: Identifier
    url: Text | None = None
    key_env: Text | None = None
    keys_env: tuple[Text, ...] = ()
    key_secret: Text | None = None
    keys_secret: tuple[Text, ...] = ()
    upstream_model: Text | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    capacity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    region: Identifier | None = None
    service_tier: ServiceTier = "standard"
    mode: Identifier | None = None
    draining: bool = False
    proxy: Text | None = None
    proxy_login_env: Text | None = None
    proxy_login_secret: Text | None = None
    ca_file: Text | None = None
    http2: bool = False
    connect_s: _Seconds | None = None
    first_byte_s: _Seconds | None = None
    between_s: _Seconds | None = None


def read_family(sheet: Sheet) -> list[Found[Model]]:
    """Parse a file of the catalogue: what its models have in common, then each ``[[model]]``."""
    raw = {name: value for name, value in sheet.table.items() if name != "model"}
    head = shape(sheet, (), raw, _Head, also=("model",))
    return [] if head is None else _read(sheet, head)


def read_own(sheet: Sheet) -> list[Found[Model]]:
    """Parse the ``[[model]]`` tables of ``steelyard.toml``, each complete in itself."""
    return _read(sheet, _Head())


def _read(sheet: Sheet, head: _Head) -> list[Found[Model]]:
    found: list[Found[Model]] = []
    for row in shapes(sheet, "model", _Model):
        raw = row.value
        family, developer = raw.family or head.family, raw.developer or head.developer
        source, checked = raw.source or head.source, raw.checked or head.checked
        if family is None:
            row.fault((), '"family" is missing; write family = "Qwen"')
        if developer is None:
            row.fault((), '"developer" is missing; write developer = "Alibaba"')
        if source is None:
            row.fault((), 'where do these facts come from? Write source = "https://..."')
        if checked is None:
            row.fault((), "when were these facts compared? Write checked = 2026-01-31")
        if family is None or developer is None or source is None or checked is None:
            continue
        model = Model(
            id=raw.id,
            family=family,
            developer=developer,
            licence=raw.licence,
            weights="closed" if raw.licence == "closed" else "open",
            context=raw.context,
            output_max=raw.output_max,
            input=raw.input,
            output=raw.output,
            reasoning=raw.reasoning,
            source=source,
            checked=checked.isoformat(),
            tokenizer=raw.tokenizer,
        )
        found.append(Found(sheet, row.path, model))
    return found


def read_deployments(sheet: Sheet) -> list[Found[Deployment]]:
    """Parse the ``[[deployment]]`` tables of ``steelyard.toml``."""
    found: list[Found[Deployment]] = []
    for row in shapes(sheet, "deployment", _Deployment):
        raw = row.value
        if not _reachable(row, raw):
            continue
        deployment = Deployment(
            id=raw.id,
            model=raw.model,
            kind=raw.kind,
            provider=raw.provider,
            url=raw.url,
            keys_env=raw.keys_env if raw.key_env is None else (raw.key_env,),
            keys_secret=raw.keys_secret if raw.key_secret is None else (raw.key_secret,),
            upstream_model=raw.upstream_model,
            weight=raw.weight,
            capacity=raw.capacity,
            region=raw.region,
            service_tier=raw.service_tier,
            mode=raw.mode,
            draining=raw.draining,
            proxy=raw.proxy,
            proxy_login_env=raw.proxy_login_env,
            proxy_login_secret=raw.proxy_login_secret,
            ca_file=raw.ca_file,
            http2=raw.http2,
            connect_s=raw.connect_s,
            first_byte_s=raw.first_byte_s,
            between_s=raw.between_s,
        )
        found.append(Found(sheet, row.path, deployment))
    return found


def _reachable(row: Found[_Deployment], raw: _Deployment) -> bool:
    """Whether it is said well how to reach a deployment; each fault is noted."""
    elsewhere = raw.kind in {"openai", "anthropic"}
    if elsewhere and raw.url is None:
        row.fault((), 'where is this upstream? Write url = "https://.../v1"')
        return False
    if not elsewhere:
        given = [name for name in _OF_UPSTREAMS if getattr(raw, name)]
        for name in given:
            row.fault(
                (name,), f'kind = "{raw.kind}" has no {name}; remove it, or write kind = "openai"'
            )
        return not given
    for name, url in (("url", raw.url), ("proxy", raw.proxy)):
        if url is None:
            continue
        if _AUTHORITY.match(url):
            row.fault((name,), _NO_PASSWORD[name])
            return False
        if not url.isascii() or not url.isprintable() or not _URL.fullmatch(url):
            like = "https://.../v1" if name == "url" else "http://...:3128"
            row.fault((name,), f'"{url}" is no URL; write it like "{like}"')
            return False
    if raw.http2 and not (raw.url or "").startswith("https:"):
        row.fault(("http2",), "HTTP/2 is agreed upon over TLS; the url begins with https://, then")
        return False
    logins = [name for name in _PROXY_LOGINS if getattr(raw, name) is not None]
    if logins and (raw.proxy is None or len(logins) > 1):
        other = "there is no proxy" if raw.proxy is None else "one of the two is enough"
        row.fault((logins[-1],), f"{other}; remove this")
        return False
    for one, several in (("key_env", raw.keys_env), ("key_secret", raw.keys_secret)):
        if getattr(raw, one) is not None and several:
            row.fault((one,), "there are several keys as well; write this one among them")
            return False
    return True


_PROXY_LOGINS = ("proxy_login_env", "proxy_login_secret")

_NO_PLACE = "a password has no place in this file, which documents are made of"
_NO_PASSWORD = {
    "url": _NO_PLACE,
    "proxy": f"{_NO_PLACE}; write the name of a variable, as proxy_login_env, or of a sealed "
    "secret, as proxy_login_secret, that holds user:password",
}

_OF_UPSTREAMS = (
    "url",
    "key_env",
    "keys_env",
    "key_secret",
    "keys_secret",
    "proxy",
    *_PROXY_LOGINS,
    "ca_file",
    "http2",
)
