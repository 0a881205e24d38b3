"""Where recordings that are brought in lie until they have been told: `<data directory>/imports/<import id>/`.

    file      what has arrived of it
    lock      locked (flock) while a gateway works on it; a killed gateway lets go

Beside them `place` holds a name for this directory, so that nobody looks here for what was sent to another machine.
No name comes from a peer: they are UUIDs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from pathlib import Path
from typing import Final, Self
from uuid import UUID

FOLDER: Final = "imports"
SPARE_BYTES: Final = 512 * 1024 * 1024
"""So much of the disk is left to everything else."""
_DIR_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class Inbox:
    """The files of one data directory. All calls block; OSError is the disk's."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / FOLDER

    @property
    def place(self) -> str:
        """The name of this directory, made at the first call."""
        path = self.root / "place"
        self.root.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
        if not path.exists():
            fresh = path.with_name(f"place.{secrets.token_hex(8)}")
            fresh.write_text(secrets.token_hex(16), encoding="ascii")
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)  # complete before it has its name: two processes may be first
            fresh.unlink()
        return path.read_text(encoding="ascii")

    def file(self, import_id: UUID) -> Path:
        """Return where the file lies, or will lie."""
        return self.root / str(import_id) / "file"

    def has_room(self, size_bytes: int) -> bool:
        """Return whether the disk takes a file of that size."""
        self.root.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free >= size_bytes + SPARE_BYTES

    def write(self, import_id: UUID, offset: int, data: bytes, *, last: bool) -> None:
        """Put a piece where it belongs; the same piece again changes nothing. With the `last` one it is on the disk."""
        path = self.file(import_id)
        path.parent.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        try:
            rest = memoryview(data)
            while rest:
                written = os.pwrite(fd, rest, offset)
                rest, offset = rest[written:], offset + written
            if last:
                os.fsync(fd)
        finally:
            os.close(fd)

    def claim(self, import_id: UUID) -> Claim | None:
        """Lock a file for the one who works on it; None when somebody else does. FileNotFoundError: it is gone."""
        path = self.file(import_id)
        path.stat()
        fd = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return Claim(path, fd)

    def held(self) -> list[UUID]:
        """Return whose files lie here."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self.root.iterdir():
                with contextlib.suppress(ValueError):
                    found.append(UUID(path.name))
        return found

    def remove(self, import_id: UUID) -> None:
        """Remove an import's file, if it is there."""
        shutil.rmtree(self.root / str(import_id), ignore_errors=True)


class Claim:
    """A file that is ours to work on, until the context ends."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
