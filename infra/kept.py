"""Secrets that an installation makes for itself and keeps in its data directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from infra.settings import Settings


def kept_secret(data_dir: Path, name: str) -> str:
    """Return the secret of that name: made at the first call, the same ever after, readable by its owner only."""
    path = data_dir / "secrets" / name
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    if not path.exists():
        # Complete before it has its name: two processes may be first, and either may be killed.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as fresh:
            fresh.write(secrets.token_hex(32))
            fresh.flush()
            os.fsync(fresh.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh.name, path)
    return path.read_text(encoding="ascii").strip()


def stream_secret(settings: Settings) -> str:
    """Return the key material of stream tokens."""
    if settings.hearline_secret is not None:
        return settings.hearline_secret.get_secret_value()
    return kept_secret(settings.hearline_data_dir, "stream")


def twilio_token(settings: Settings) -> str:
    """Return the token that signs Twilio's requests: the account's, or one of our own for `hearline call`."""
    return settings.twilio_token or kept_secret(settings.hearline_data_dir, "twilio")
