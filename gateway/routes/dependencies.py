"""What routes depend on: the gateway's parts, and who calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from backend.routing.routed_relay import AnyRelay
from gateway.api_keys import LOCAL, Caller
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.core import Core
from gateway.errors import Unauthenticated
from gateway.loopback import is_loopback
from gateway.metrics import Metrics


@dataclass(frozen=True)
class Gateway:
    """The parts that one application is made of."""

    core: Core
    capture: Capture
    worker: CaptureWorker
    metrics: Metrics
    relays: Mapping[str, AnyRelay]
    """By engine, those that can be asked without translation."""


async def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def caller_of(
    request: Request,
    gateway: Annotated[Gateway, Depends(gateway_of)],
    authorization: Annotated[str | None, Header()] = None,
) -> Caller:
    """Raises `Unauthenticated`. Without keys only a loopback name is served, so that no web page can rebind to it."""
    caller = gateway.core.api_keys.authenticate(authorization)
    if caller is LOCAL and not is_loopback(request.url.hostname or ""):
        raise Unauthenticated(
            f"no API keys exist, so this server answers to localhost only, not to '{request.url.hostname}'; "
            "make a key with 'kvasir key create --name NAME'"
        )
    return caller


GatewayDep = Annotated[Gateway, Depends(gateway_of)]
CallerDep = Annotated[Caller, Depends(caller_of)]
