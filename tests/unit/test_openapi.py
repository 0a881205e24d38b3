"""The description: whole, closed in itself, and of every route there is."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from dashboard.auth import ACCESS
from dashboard.docs import Docs, render
from dashboard.openapi import describe
from dashboard.operations import OPERATIONS

DESCRIPTION: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(describe("1.2.3")))
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
TYPES = {"null", "boolean", "object", "array", "number", "string", "integer"}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DESCRIPTION["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def schemas() -> Iterator[dict[str, Any]]:
    yield from DESCRIPTION["components"]["schemas"].values()
    for node in nodes(DESCRIPTION["paths"]):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]


def test_the_frame_is_openapi_3_1() -> None:
    assert re.fullmatch(r"3\.1\.\d+", DESCRIPTION["openapi"])
    assert DESCRIPTION["info"]["title"]
    assert DESCRIPTION["info"]["version"] == "1.2.3"
    assert DESCRIPTION.keys() <= {"openapi", "info", "servers", "security", "paths", "components"}
    for requirement in DESCRIPTION["security"]:
        assert requirement.keys() <= DESCRIPTION["components"]["securitySchemes"].keys()


def test_every_operation_is_whole() -> None:
    ids = []
    for path, method, operation in operations():
        assert path.startswith("/")
        assert method in METHODS
        ids.append(operation["operationId"])
        assert operation["summary"]
        assert operation["description"].startswith("For ")
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for parameter in operation["parameters"]:
            assert parameter["in"] in {"path", "query"}
            assert parameter["required"] is (parameter["in"] == "path")
            assert parameter["schema"]
            assert parameter["description"]
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d", status)
            assert response["description"]
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
        assert "401" in operation["responses"]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for node in nodes(DESCRIPTION) if "$ref" in node]
    assert references
    for reference in references:
        place: Any = DESCRIPTION
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    for name in DESCRIPTION["components"]["schemas"]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert f"#/components/schemas/{name}" in references


def test_every_schema_is_json_schema() -> None:
    for schema in schemas():
        for node in nodes(schema):
            if isinstance(node.get("type"), str):
                assert node["type"] in TYPES
            if isinstance(node.get("required"), list):
                assert set(node["required"]) <= node["properties"].keys()
            if "anyOf" in node:
                assert len(node["anyOf"]) > 1


def test_every_described_route_has_its_roles() -> None:
    described = {(method.upper(), path) for path, method, _ in operations()}
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    assert described <= ACCESS.keys()
    undescribed = {path for method, path in ACCESS.keys() - described}
    assert not any(path.startswith("/api/") and not path.endswith("/recording") for path in undescribed)


def test_the_page_shows_all_of_it_and_runs_nothing() -> None:
    page = render(DESCRIPTION)
    for path, _, operation in operations():
        assert path in page
        assert f'id="{operation["operationId"]}"' in page
    for name in DESCRIPTION["components"]["schemas"]:
        assert f'id="schema-{name}"' in page
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    assert not re.search(r"<script|\son\w+=|javascript:|style=", page)
    elsewhere = set(re.findall(r'(?:href|src)="(?!#)([^"]+)"', page))
    assert elsewhere == {"/api/docs.css", "/api/openapi.json", "/favicon.svg"}
    assert "://" not in re.sub(r"http://127\.0\.0\.1:8080", "", page)


def test_the_page_escapes_what_it_shows() -> None:
    hostile = msgspec.json.decode(msgspec.json.encode(DESCRIPTION))
    hostile["info"]["version"] = "<script>alert(1)</script>"
    hostile["paths"]["/api/v1/me"]["get"]["summary"] = "`<img onerror=x>`"
    page = render(hostile)
    assert "<script" not in page
    assert "<img" not in page


@pytest.mark.parametrize("version", ["1.2.3", "0.1.0.dev1+g1234"])
def test_it_is_made_once(version: str) -> None:
    docs = Docs(version)
    assert version.encode() in docs._json
    assert "color-scheme" in docs._style
    assert "@import" not in docs._style
    assert "url(" not in docs._style
