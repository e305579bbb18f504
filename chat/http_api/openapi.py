"""The API's description, written from the endpoints themselves: as an OpenAPI document, and as a page."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from .errors import STATUS, ErrorAnswer
from .routing import COOKIE, Access, Endpoint

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
body { color: #222; background: #fff }
code { font: 14px ui-monospace, monospace; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2rem 0 .3rem } p, ul { margin: .3rem 0 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } a { color: #8bf } }
"""
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""What a Content-Security-Policy must allow for the page to be styled."""


def openapi(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    types = [ErrorAnswer] + [kind for endpoint in endpoints for kind in _structs(endpoint)]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "chat-gateway", "version": version, "description": _INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def page(document: dict[str, Any]) -> str:
    """The same for people; needs no script and nothing from elsewhere."""
    sections = [
        _section(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>chat-gateway: HTTP API</title><style>{_STYLE}</style><h1>HTTP API</h1><p>{html.escape(_INTRODUCTION)}"
        f'<p>For programs: <a href="/api/openapi.json">openapi.json</a>.{"".join(sections)}</html>'
    )


_INTRODUCTION = (
    "JSON in, JSON out. Messages are posted and received on the WebSocket /ws; this is everything around it. "
    'A refused request is answered {"error": {"code", "message", "retryable", "retry_after_ms"?}}.'
)


_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.BEARER: [{"bearer": []}],
    Access.COOKIE: [{"cookie": []}],
}


def _structs(endpoint: Endpoint) -> list[Any]:
    return [kind for kind in (endpoint.types.get("body"), endpoint.types.get("query"), endpoint.answer) if kind]


def _operation(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "done"}
    if endpoint.answer:
        good |= {"description": _first(endpoint.answer), "content": _json(endpoint.answer.__name__)}
    refused = {"description": "refused: code is one of " + ", ".join(sorted(STATUS)), "content": _json("ErrorAnswer")}
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": _first(endpoint.handler),
        "parameters": _parameters(endpoint, components),
        "responses": {str(endpoint.status): good, "default": refused},
        "security": {Access.OPEN: [], Access.BEARER: [{"bearer": []}], Access.COOKIE: [{"cookie": []}]}[
            endpoint.access
        ],
    }
    if "body" in endpoint.types:
        operation["requestBody"] = {"required": True, "content": _json(endpoint.types["body"].__name__)}
    return operation


def _parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    if "query" not in endpoint.types:
        return in_path
    schema = components[endpoint.types["query"].__name__]
    return in_path + [{"name": name, "in": "query", "schema": kind} for name, kind in schema["properties"].items()]


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _first(thing: Any) -> str:
    return str(thing.__doc__).partition("\n")[0]


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    [(status, good), _] = operation["responses"].items()
    lines = [f"<p>{html.escape(operation['summary'])}"]
    if operation["security"]:
        lines.append(f"Needs: {' or '.join(name for way in operation['security'] for name in way)}.")
    fields = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"]
    if fields:
        lines.append("Query: " + ", ".join(f"<code>{name}</code>" for name in fields) + ".")
    if "requestBody" in operation:
        lines.append(f"Body: <code>{_reference(operation['requestBody'])}</code>.")
    if "content" in good:
        lines.append(f"Answers {status} <code>{_reference(good)}</code>.")
    return f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>" + " ".join(lines)


def _reference(content: dict[str, Any]) -> str:
    return str(content["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]
