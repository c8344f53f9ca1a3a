"""Reaching: the way to each deployment's upstream, by what the studio and the environment say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from steelyard.catalogue.documents import Deployment
from steelyard.settings import GatewaySettings
from steelyard.studio import Studio
from steelyard.upstream.connect import connect
from steelyard.upstream.echo import EchoTransport
from steelyard.upstream.engine import KEY_VARIABLE
from steelyard.upstream.keyed import Keyed
from steelyard.upstream.keyring import Credential, Keyring
from steelyard.upstream.transport import Limits, Transport
from steelyard.values.clock import Clock


def open_transports(
    opened: Studio, clock: Clock, before: Studio | None = None
) -> dict[str, Transport]:
    """The way to each deployment's upstream, by the deployment's id.

    With a studio from ``before`` only those that are new, or not as they were.
    """
    same = () if before is None else before.edition.deployments
    return {
        each.id: _transport(opened, each, clock)
        for each in opened.edition.deployments
        if each not in same or each.keys_secret or each.proxy_login_secret or each.ca_file
    }


def _transport(opened: Studio, deployment: Deployment, clock: Clock) -> Transport:
    def told(sentence: str) -> None:
        sys.stderr.write(f"steelyard: upstream {deployment.id}: {sentence}\n")

    limits = _limits(opened.settings.gateway, deployment)
    keys: list[Credential] = []
    if deployment.kind == "echo":
        return EchoTransport(clock)
    if deployment.kind == "engine":
        port = engine_port(opened, deployment.id)
        if port is None:
            inner = connect("http://engine/v1", limits, socket=engine_socket(opened, deployment.id))
        else:
            host = opened.settings.engine.host
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            inner = connect(f"http://{place}/v1", limits)
        if os.environ.get(KEY_VARIABLE):
            keys.append(Credential(KEY_VARIABLE, os.environ[KEY_VARIABLE]))
    else:
        assert deployment.url is not None
        inner = connect(
            deployment.url,
            limits,
            ca_file=opened.root / deployment.ca_file if deployment.ca_file else None,
            proxy=deployment.proxy,
            proxy_login=_proxy_login(opened, deployment),
            http2=deployment.http2,
        )
        if deployment.kind == "anthropic":
            from steelyard.upstream.messages import Messages

            inner = Messages(inner, clock)
        keys += [Credential(name, os.environ[name]) for name in deployment.keys_env]
        keys += [Credential(name, _sealed(opened, name)) for name in deployment.keys_secret]
    return Keyed(inner, Keyring(keys), clock, told) if keys else inner


def _proxy_login(opened: Studio, deployment: Deployment) -> str | None:
    if deployment.proxy_login_env is not None:
        return os.environ[deployment.proxy_login_env]
    secret = deployment.proxy_login_secret
    return None if secret is None else _sealed(opened, secret)


def _sealed(opened: Studio, name: str) -> str:
    from steelyard.governance import sealed

    return sealed.open_one(opened.root, os.environ.get(sealed.MASTER_VARIABLE), name)


def _limits(gateway: GatewaySettings, deployment: Deployment) -> Limits:
    return Limits(
        connect_s=deployment.connect_s or gateway.connect_s,
        first_byte_s=deployment.first_byte_s or gateway.first_byte_s,
        between_s=deployment.between_s or gateway.between_s,
        answer_bytes_max=gateway.answer_bytes_max,
        # A call may have more than one attempt under way, and an idle connection is one too.
        connections_max=2 * gateway.concurrency_max,
    )


def engine_socket(opened: Studio, deployment: str) -> Path:
    """The private socket on which a deployment's engine serves."""
    return opened.root / "run" / f"{deployment}.sock"


def engine_port(opened: Studio, deployment: str) -> int | None:
    """The TCP port of a deployment's engine; None where it has a private socket."""
    first = opened.settings.engine.port
    engines = [each.id for each in opened.edition.deployments if each.kind == "engine"]
    return None if first is None else first + engines.index(deployment)
