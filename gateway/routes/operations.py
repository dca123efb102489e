"""`/healthz`, `/readyz`, `/metrics`: for whoever runs the gateway."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from backend.routing.routed_engine import RoutedEngine
from gateway.routes.dependencies import GatewayDep

router = APIRouter(tags=["operations"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(gateway: GatewayDep) -> dict[str, Any]:
    """The state database answers; a 503 says that it does not. The server only answers once its models are loaded.

    An engine that is away does not make a 503: what is confirmed is answered without it. `replicas` says of each engine
    that has several which of them are asked, and which are left out because they failed.
    """
    with gateway.core.database.connect() as connection:
        connection.execute(text("SELECT 1"))
    replicas = {
        name: {one.name: "away" if one.away else "asked" for one in engine.routing.states()}
        for name, engine in gateway.core.engines.items()
        if isinstance(engine, RoutedEngine)
    }
    return {"status": "ready", "engines": sorted(gateway.core.engines), "replicas": replicas}


@router.get("/metrics")
def metrics(gateway: GatewayDep) -> Response:
    return Response(gateway.metrics.render(), media_type=CONTENT_TYPE_LATEST)
