"""The providers that LLM_PROVIDER names, and how their settings become one endpoint.

| LLM_PROVIDER | LLM_BASE_URL, if not set | LLM_API_KEY | LLM_MODEL, if not set |
|---|---|---|---|
| none | - | - | - (the built-in analyser alone) |
| ollama | http://127.0.0.1:11434/v1 | not needed | the first model that the server lists |
| openai | https://api.openai.com/v1 | needed | gpt-4o-mini |
| openrouter | https://openrouter.ai/api/v1 | needed | has to be set |
| huggingface | https://router.huggingface.co/v1 | needed | has to be set |
| custom | has to be set | if the server wants one | the first model that the server lists |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit


class ProviderError(ValueError):
    """The LLM settings do not make a usable endpoint."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known about a provider beforehand."""

    name: str
    base_url: str | None
    needs_key: bool
    model: str | None
    lists_models: bool
    """True when a missing model may be taken from the server's own list: it has few, and they are the operator's."""
    limit_field: str = "max_tokens"
    """The request's member that limits the answer; `max_completion_tokens` in newer dialects."""


PRESETS: Final = {
    preset.name: preset
    for preset in (
        Preset("ollama", "http://127.0.0.1:11434/v1", needs_key=False, model=None, lists_models=True),
        Preset("openai", "https://api.openai.com/v1", needs_key=True, model="gpt-4o-mini", lists_models=False,
               limit_field="max_completion_tokens"),
        Preset("openrouter", "https://openrouter.ai/api/v1", needs_key=True, model=None, lists_models=False),
        Preset("huggingface", "https://router.huggingface.co/v1", needs_key=True, model=None, lists_models=False),
        Preset("custom", None, needs_key=False, model=None, lists_models=True),
    )
}  # fmt: skip

NAMES: Final = ("none", *PRESETS)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Everything needed to reach one model."""

    provider: str
    base_url: str
    api_key: str = field(repr=False)
    model: str | None
    """None: the first that the server lists."""
    limit_field: str = "max_tokens"


def endpoint(
    provider: str, *, base_url: str | None = None, api_key: str | None = None, model: str | None = None
) -> Endpoint | None:
    """Return the endpoint that the settings describe; None for the provider 'none'."""
    if provider == "none":
        return None
    preset = PRESETS.get(provider)
    if preset is None:
        raise ProviderError(f"LLM_PROVIDER is {provider!r}; it can be {', '.join(NAMES)}")
    address = (base_url or preset.base_url or "").rstrip("/")
    if not address:
        raise ProviderError(f"LLM_PROVIDER={provider} needs LLM_BASE_URL")
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ProviderError("LLM_BASE_URL is not an http or https address")
    if preset.needs_key and not api_key:
        raise ProviderError(f"LLM_PROVIDER={provider} needs LLM_API_KEY")
    chosen = model or preset.model
    if chosen is None and not preset.lists_models:
        raise ProviderError(f"LLM_PROVIDER={provider} needs LLM_MODEL")
    return Endpoint(provider, address, api_key or "unused", chosen, preset.limit_field)
