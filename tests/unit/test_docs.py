"""What people read names everything there is to name."""

import itertools
from pathlib import Path

import pytest
import typer.main

from infra.main import cli
from infra.settings import Settings
from media_gateway.protocols.dialects.registry import DIALECTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_sender_is_told_where_to_send(dialect: str) -> None:
    assert f"/media/{dialect}" in (ROOT / "docs" / "senders.md").read_text()


def test_every_command_that_the_docs_name_exists() -> None:
    known = set(typer.main.get_command(cli).commands)
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        words = page.read_text().replace("`", " ").split()
        named = {after for word, after in itertools.pairwise(words) if word.endswith("bin/hearline")}
        assert named <= known, page


def test_no_page_is_linked_that_is_not_there() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in page.read_text().split("](")[1:]:
            path = target.partition(")")[0].partition("#")[0]
            if path and "://" not in path:
                assert (page.parent / path).exists(), f"{page.name}: {path}"
