"""/api/docs: the description as a page of its own, without a script and without another host."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from dashboard.openapi import describe

STYLE: Final = Path(__file__).parent / "docs.css"


class Docs:
    """The description in both forms; made once."""

    def __init__(self, version: str) -> None:
        description = describe(version)
        self._json = msgspec.json.format(msgspec.json.encode(description), indent=2)
        self._html = render(description)
        self._style = STYLE.read_text(encoding="utf-8")

    async def openapi_json(self, request: web.Request) -> web.Response:
        """GET /api/openapi.json."""
        del request
        return web.Response(body=self._json, content_type="application/json")

    async def page(self, request: web.Request) -> web.Response:
        """GET /api/docs."""
        del request
        return web.Response(text=self._html, content_type="text/html")

    async def style(self, request: web.Request) -> web.Response:
        """GET /api/docs.css."""
        del request
        return web.Response(text=self._style, content_type="text/css")


def render(description: dict[str, Any]) -> str:
    """Return the description as HTML."""
    operations = [
        (path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = description["components"]["schemas"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hearline API</title>
<link rel="icon" type="image/svg+xml" href="/favicon.svg">
<link rel="stylesheet" href="/api/docs.css">
</head>
<body>
<header>
<h1>Hearline API <small>{escape(description["info"]["version"])}</small></h1>
<p>{_prose(description["info"]["description"])}</p>
<p>Machine-readable: <a href="/api/openapi.json">/api/openapi.json</a></p>
</header>
<nav aria-label="Operations"><ul>{"".join(_link(*entry) for entry in operations)}</ul></nav>
<main>
{"".join(_operation(*entry) for entry in operations)}
<section id="schemas"><h2>Schemas</h2>{"".join(_schema(name, schema) for name, schema in schemas.items())}</section>
</main>
</body>
</html>
"""


def _link(path: str, method: str, operation: dict[str, Any]) -> str:
    return f'<li><a href="#{escape(operation["operationId"])}">{_verb(method)} <code>{escape(path)}</code></a></li>'


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<section id="{escape(operation["operationId"])}">',
        f"<h2>{_verb(method)} <code>{escape(path)}</code></h2>",
        f"<p>{escape(operation['summary'])}. {escape(operation['description'])}</p>",
    ]
    if operation["parameters"]:
        rows = "".join(_parameter_row(parameter) for parameter in operation["parameters"])
        parts.append(
            "<table><caption>Parameters</caption><thead><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th>"
            f"<th>Example</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    if "requestBody" in operation:
        for kind, content in operation["requestBody"]["content"].items():
            told = _type(content["schema"]) if kind == "application/json" else escape(kind)
            parts.append(f"<p>Body: {told}</p>")
    rows = "".join(_answer_row(status, answer) for status, answer in operation["responses"].items())
    parts.append(
        "<table><caption>Answers</caption><thead><tr><th>Status</th><th>Meaning</th><th>Body</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    parts.append(f"<pre><code>{escape(_example(path, method, operation))}</code></pre></section>\n")
    return "".join(parts)


def _parameter_row(parameter: dict[str, Any]) -> str:
    name = escape(parameter["name"]) + (" *" if parameter["required"] else "")
    return (
        f"<tr><td><code>{name}</code></td><td>{escape(parameter['in'])}</td><td>{_type(parameter['schema'])}</td>"
        f"<td>{_prose(parameter['description'])}</td><td><code>{escape(parameter.get('example', ''))}</code></td></tr>"
    )


def _answer_row(status: str, answer: dict[str, Any]) -> str:
    bodies = "<br>".join(
        f"{escape(kind)}: {_type(content['schema'])}" for kind, content in answer.get("content", {}).items()
    )
    return f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td><td>{bodies}</td></tr>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}{'' if field in required else '?'}</code></td><td>{_type(kind)}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    )
    about = escape(schema.get("description", ""))
    return (
        f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3><p>{about}</p>'
        f"<table><thead><tr><th>Field</th><th>Type</th></tr></thead><tbody>{rows}</tbody></table></section>\n"
    )


def _type(schema: dict[str, Any]) -> str:
    """Return a schema as a few words, with links to what it names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(kind) for kind in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    words = [str(schema.get("type", "anything")), *([schema["format"]] if "format" in schema else [])]
    return escape(" ".join(words))


def _example(path: str, method: str, operation: dict[str, Any]) -> str:
    query = []
    for parameter in operation["parameters"]:
        example = parameter.get("example", "")
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", example)
        elif example:
            query.append(f"{parameter['name']}={example}")
    address = f"http://127.0.0.1:8080{path}" + (f"?{'&'.join(query)}" if query else "")
    lines = [f'curl -X {method.upper()} -H "Authorization: Bearer $TOKEN"']
    if "requestBody" in operation:
        lines.append("     -H 'Content-Type: application/json' -d '{\"status\": \"done\"}'")
    lines.append(f"     '{address}'")
    return " \\\n".join(lines)


def _prose(text: str) -> str:
    """Return text with `words` in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts))


def _verb(method: str) -> str:
    return f'<span class="verb {escape(method)}">{escape(method.upper())}</span>'
