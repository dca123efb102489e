"""Errors as HTTP: the one table from domain errors to statuses, in OpenAI's shape.

`{"error": {"message", "type", "param", "code"}}`, so that OpenAI's clients raise what their users know.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException

from backend import errors as backend
from gateway import errors as gateway
from gateway.conflict_view import conflicts_view
from kb import errors as kb

logger = logging.getLogger("kvasir.http")


@dataclass(frozen=True, slots=True)
class HttpError:
    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": _encodable(self.message),
                "type": self.type,
                "param": self.param and _encodable(self.param),
                "code": self.code,
                **self.details,
            },
        }


_INVALID, _SERVER = "invalid_request_error", "server_error"

# The first class that fits wins, so that a subclass stands before its base.
_STATUS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (gateway.Unauthenticated, 401, "authentication_error", "invalid_api_key"),
    (gateway.Forbidden, 403, "permission_error", "missing_role"),
    (gateway.AssistantNotFound, 404, _INVALID, "model_not_found"),
    (gateway.RequestNotFound, 404, _INVALID, "request_not_found"),
    (gateway.ProposalNotFound, 404, _INVALID, "proposal_not_found"),
    (gateway.NotFound, 404, _INVALID, "not_found"),
    (gateway.VerdictConflict, 409, _INVALID, "contradicting_verdict"),
    (gateway.SecondPersonNeeded, 403, "permission_error", "second_person_needed"),
    (gateway.ProposalClosed, 409, _INVALID, "proposal_closed"),
    (gateway.ProposalNotLanded, 409, _INVALID, "proposal_not_landed"),
    (gateway.ProposalNotReady, 409, _INVALID, "proposal_not_ready"),
    (gateway.ProposalChanged, 409, _INVALID, "proposal_changed"),
    (gateway.PromptTooLong, 400, _INVALID, "context_length_exceeded"),
    (gateway.BadRequest, 400, _INVALID, "bad_request"),
    (gateway.EngineNotConfigured, 503, _SERVER, "engine_not_configured"),
    (gateway.DatasourceUnavailable, 503, _SERVER, "datasource_unavailable"),
    (gateway.StatementFailed, 422, _INVALID, "statement_failed"),
    (gateway.StatementLimit, 422, _INVALID, "statement_limit"),
    (gateway.DatasourceError, 422, _INVALID, "statement_refused"),
    # What is left of the gateway's errors is a wrong configuration, met while serving.
    (gateway.GatewayError, 503, _SERVER, "misconfigured"),
    (backend.ContextTooLong, 400, _INVALID, "context_length_exceeded"),
    (backend.EngineTimeout, 504, _SERVER, "engine_timeout"),
    (backend.EngineUnreachable, 503, _SERVER, "engine_unreachable"),
    # Whoever asks again finds it restarted; once a part of the answer was sent, only the code of these is told.
    (backend.EngineInterrupted, 503, _SERVER, "engine_interrupted"),
    (backend.EngineFailing, 503, _SERVER, "engine_failing"),
    (backend.EngineRefused, 502, _SERVER, "engine_refused"),
    (backend.EngineMisconfigured, 503, _SERVER, "misconfigured"),
    (backend.ModelFolderInvalid, 503, _SERVER, "misconfigured"),
    (backend.BackendError, 502, _SERVER, "engine_failed"),
    (kb.NotFound, 404, _INVALID, "not_found"),
    (kb.MergeConflicts, 409, _INVALID, "merge_conflicts"),
    (kb.Conflict, 409, _INVALID, "conflict"),
    (kb.StillLost, 409, _INVALID, "still_lost"),
    (kb.NothingToCommit, 400, _INVALID, "nothing_to_commit"),
    (kb.RefMoved, 409, _INVALID, "branch_moved"),
    (kb.NotADescendant, 409, _INVALID, "branch_moved"),
    (kb.AlreadyExists, 409, _INVALID, "already_exists"),
    (kb.ObjectCorrupt, 500, _SERVER, "object_corrupt"),
    (kb.SchemaBehind, 503, _SERVER, "misconfigured"),
    (kb.EmbeddingModelInvalid, 503, _SERVER, "misconfigured"),
    (kb.KnowledgeError, 400, _INVALID, "knowledge_error"),
    (OperationalError, 503, _SERVER, "state_database_unavailable"),
    (DataError, 400, _INVALID, "not_storable"),
)
_ENGINE_AWAY = (backend.EngineUnreachable, backend.EngineInterrupted, backend.EngineFailing)
_RETRY_SECONDS = "5"
_ROUTING_CODES = {404: "no_such_route", 405: "method_not_allowed"}
HANDLED = (gateway.GatewayError, backend.BackendError, kb.KnowledgeError, OperationalError, DataError)


def http_error(exc: Exception) -> HttpError:
    """How an error is told over HTTP."""
    for kind, status, type_, code in _STATUS:
        if isinstance(exc, kind):
            message, param = str(exc), getattr(exc, "param", None)
            if isinstance(exc, OperationalError):
                message = "the state database cannot be reached; check KVASIR_DATABASE_URL and that it is up"
            if isinstance(exc, DataError):
                message = "a value of the request holds a character, or a length, that cannot be stored"
            if isinstance(exc, gateway.AssistantNotFound):
                param = "model"
            return HttpError(status, type_, code, message, param, _headers(exc, status))
    assert not isinstance(exc, HANDLED), f"{type(exc).__name__} has no status"
    return HttpError(500, _SERVER, "internal_error", "an error of the gateway itself; its log says more")


def _headers(exc: Exception, status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    retry_after = getattr(exc, "retry_after_seconds", None)
    if retry_after is not None:
        return {"Retry-After": str(max(1, round(retry_after)))}
    return {"Retry-After": _RETRY_SECONDS} if isinstance(exc, _ENGINE_AWAY) else {}


def install(app: FastAPI) -> None:
    """Answer every error in the one shape."""
    for kind in HANDLED:
        app.add_exception_handler(kind, _handle)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(HTTPException, _handle_http)
    app.add_exception_handler(Exception, _handle_unexpected)


def response(request: Request, error: HttpError) -> JSONResponse:
    headers = dict(error.headers)
    request_id = getattr(request.state, "request_id", None)
    if request_id:
        headers["x-kvasir-request-id"] = request_id
    return JSONResponse(error.body(), error.status, headers)


async def _handle(request: Request, exc: Exception) -> JSONResponse:
    error = http_error(exc)
    if isinstance(exc, kb.MergeConflicts):
        error = replace(error, details=conflicts_view(exc))
    return response(request, error)


async def _handle_unexpected(request: Request, exc: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=exc)
    return response(request, http_error(exc))


async def _handle_validation(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "path", "query")]
    if first["type"] == "json_invalid":
        message = f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        return response(request, HttpError(400, _INVALID, "invalid_json", message))
    param = ".".join(place) or None
    message = f"{param or 'body'}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return response(request, HttpError(400, _INVALID, "invalid_body", message, param))


async def _handle_http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    message = f"{request.method} {request.url.path}: {str(exc.detail).lower()}; the API is described at /docs"
    code = _ROUTING_CODES.get(exc.status_code, "bad_request")
    error = HttpError(exc.status_code, _INVALID, code, message, headers=dict(exc.headers or {}))
    return response(request, error)


def _encodable(text: str) -> str:
    """Text that UTF-8 can hold: half a surrogate pair, which JSON can bring in, becomes a question mark."""
    return text.encode(errors="replace").decode()
