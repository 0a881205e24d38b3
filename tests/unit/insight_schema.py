"""A JSON-schema check for the few words that the kinds' schemas use; it knows no others and says so."""

from __future__ import annotations

from datetime import date
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
_KNOWN = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "minimum", "maximum",
    "maxLength", "maxItems", "format",
}  # fmt: skip


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Tell whether a value has the shape that a schema describes; properties that it does not name are refused."""
    assert set(schema) <= _KNOWN, f"unknown words in a schema: {set(schema) - _KNOWN}"
    if "anyOf" in schema:
        return any(conforms(value, option) for option in schema["anyOf"])
    kind = _TYPES[schema["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and schema["type"] in {"number", "integer"}):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value)) and _formatted(value, schema.get("format"))
    if isinstance(value, (int, float)):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        return len(value) <= schema.get("maxItems", len(value)) and all(
            conforms(item, schema["items"]) for item in value
        )
    if isinstance(value, dict):
        return _object(value, schema)
    return True


def _object(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    properties = schema.get("properties", {})
    more = schema.get("additionalProperties", False)
    return set(schema.get("required", ())) <= set(value) and all(
        conforms(item, properties[name]) if name in properties else bool(more) and conforms(item, more)
        for name, item in value.items()
    )


def _formatted(value: str, form: str | None) -> bool:
    if form == "date":
        return date.fromisoformat(value).isoformat() == value
    return True
