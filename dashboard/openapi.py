"""The OpenAPI 3.1 description, made from the table of operations and the types of the answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec

from dashboard.auth import ACCESS
from dashboard.operations import OPERATIONS, Operation, Parameter
from dashboard.problem import PROBLEM_TYPE
from dashboard.views import ProblemView

_REF: Final = "#/components/schemas/{name}"
_ALWAYS: Final = (401, 403, 503)
_ABOUT: Final = (
    "Calls, what was said in them and what it meant. Times are RFC 3339 in UTC; `_ms` counts milliseconds on the "
    "call's clock. Lists are `{items, next}`; give `next` back as `after`. The live feed is a WebSocket, "
    "`/ws/events?call={id or *}&after={cursor}`: begin with a snapshot's `cursor`. "
    "Refusals are problem JSON (RFC 9457)."
)


def describe(version: str) -> dict[str, Any]:
    """Return the whole description."""
    types = [ProblemView]
    for operation in OPERATIONS:
        types += [kind for kind in (operation.answer, operation.body) if kind is not None and kind is not bytes]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    known = list(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hearline", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"session": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "hearline_session"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(operation: Operation, known: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    roles = ACCESS[operation.method, operation.path]
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"For {', '.join(sorted(roles))}.",
        "tags": [operation.tag],
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {
            **{str(status): _answer(operation, status, known) for status in (operation.status, *operation.also)},
            **{
                str(status): {
                    "description": HTTPStatus(status).phrase,
                    "content": {PROBLEM_TYPE: {"schema": _schema(ProblemView, known)}},
                }
                for status in sorted({*operation.refusals, *_ALWAYS})
            },
        },
    }
    if operation.body is not None:
        schema = {"type": "string", "format": "binary"} if operation.body is bytes else _schema(operation.body, known)
        described["requestBody"] = {"required": True, "content": {operation.body_media_type: {"schema": schema}}}
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    }
    return {**described, "example": parameter.example} if parameter.example else described


def _answer(operation: Operation, status: int, known: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    if status == HTTPStatus.NO_CONTENT:
        return {"description": phrase}
    schema = {"type": "string"} if operation.answer is None else _schema(operation.answer, known)
    return {"description": phrase, "content": {kind: {"schema": schema} for kind in operation.media_types}}


def _schema(kind: Any, known: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    return next(schema for other, schema in known if other is kind or other == kind)
