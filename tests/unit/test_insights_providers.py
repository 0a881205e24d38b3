"""LLM settings become one endpoint, or a reason why not."""

from __future__ import annotations

import pytest

from workers.insights.providers import presets
from workers.insights.providers.presets import NAMES, PRESETS, ProviderError, endpoint


def test_none_is_no_endpoint() -> None:
    assert endpoint("none", api_key="k", model="m") is None


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("ollama", "http://127.0.0.1:11434/v1"),
        ("openai", "https://api.openai.com/v1"),
        ("openrouter", "https://openrouter.ai/api/v1"),
        ("huggingface", "https://router.huggingface.co/v1"),
    ],
)
def test_presets(provider: str, address: str) -> None:
    found = endpoint(provider, api_key="secret", model="m")
    assert found is not None
    assert (found.base_url, found.model) == (address, "m")
    assert "secret" not in repr(found)


def test_settings_come_before_presets() -> None:
    found = endpoint("ollama", base_url="http://gpu:11434/v1/", model="qwen")
    assert found is not None
    assert (found.base_url, found.model) == ("http://gpu:11434/v1", "qwen")


@pytest.mark.parametrize(
    ("provider", "settings", "reason"),
    [
        ("chatgpt", {}, "it can be none, ollama"),
        ("openai", {}, "needs LLM_API_KEY"),
        ("huggingface", {"api_key": "k"}, "needs LLM_MODEL"),
        ("custom", {}, "needs LLM_BASE_URL"),
        ("custom", {"base_url": "file:///etc/passwd"}, "not an http or https address"),
        ("custom", {"base_url": "localhost:8000"}, "not an http or https address"),
    ],
)
def test_unusable_settings_say_what_is_missing(provider: str, settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ProviderError, match=reason):
        endpoint(provider, **settings)


def test_every_provider_is_documented() -> None:
    assert set(NAMES) == {"none", *PRESETS}
    assert all(f"| {name} |" in (presets.__doc__ or "") for name in NAMES)
