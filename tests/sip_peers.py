"""SIP peers that are not ours: baresip, a softphone that speaks from a file, and Kamailio, a proxy and registrar."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from media_gateway.audio import Samples
from tests.conftest import free_port, missing, require_tool, until
from tests.sipp import ended

_BARESIP_MODULES = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/local/lib/baresip")
_KAMAILIO_MODULES = (
    "/usr/lib/x86_64-linux-gnu/kamailio/modules",
    "/usr/lib/aarch64-linux-gnu/kamailio/modules",
    "/usr/lib64/kamailio/modules",
)


def _folder(among: tuple[str, ...], program: str) -> Path:
    found = next((Path(name) for name in among if Path(name).is_dir()), None)
    return found if found is not None else missing(f"needs the modules of {program}")


@dataclass
class Baresip:
    """A running softphone."""

    process: asyncio.subprocess.Process
    directory: Path
    lines: list[str]

    def said(self, text: str) -> bool:
        """Return whether its screen has shown this."""
        return any(text in line for line in self.lines)

    async def hang_up(self) -> None:
        """Hang up and end; what it heard is on disk then."""
        if self.process.stdin is not None and self.process.returncode is None:
            self.process.stdin.write(b"b")
            await asyncio.sleep(0.5)
        await ended(self.process)

    def heard(self) -> tuple[Samples, int]:
        """Return what it heard, and the rate of that in Hz."""
        (path,) = self.directory.glob("dump-*-dec.wav")
        return read_wav(path)


def write_wav(path: Path, samples: Samples, rate_hz: int, channels: int = 1) -> Path:
    """Write mono samples as a WAV file, the same on each channel."""
    samples = np.repeat(samples, channels)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> tuple[Samples, int]:
    """Return a WAV file's samples, the channels mixed, and their rate in Hz. A file that was cut off is read too."""
    data = path.read_bytes()
    channels = int.from_bytes(data[22:24], "little")
    rate_hz = int.from_bytes(data[24:28], "little")
    begin = data.index(b"data") + 8
    body = data[begin : begin + (len(data) - begin) // (2 * channels) * 2 * channels]
    samples = np.frombuffer(body, "<i2").reshape(-1, channels)
    return samples.mean(axis=1).astype(np.int16), rate_hz


@contextlib.asynccontextmanager
async def baresip(
    directory: Path,
    says: Path,
    dial: str,
    *,
    account: str | None = None,
    codec: Literal["g711", "g722", "opus"] = "g711",
    options: str = "",
) -> AsyncIterator[Baresip]:
    """Call `dial` and speak from a WAV file, for as long as the context lasts.

    The file is as the codec takes it: 8 kHz for G.711, 16 kHz for G.722, 48 kHz and stereo for Opus. `options`:
    parameters of the account, such as ;mediaenc=srtp.
    """
    program = require_tool("baresip")
    directory.mkdir(parents=True)
    modules = _folder(_BARESIP_MODULES, "baresip")
    (directory / "config").write_text(
        "\n".join(
            (
                "poll_method epoll",
                f"sip_listen 127.0.0.1:{free_port()}",
                "call_max_calls 4",
                f"audio_source aufile,{says}",
                "audio_player aubridge,nowhere",
                "audio_alert aubridge,nowhere",
                "rtp_ports 33000-33990",
                "rtcp_mux no",
                "jitter_buffer_delay 1-2",
                f"snd_path {directory}",
                "sip_verify_server no",
                f"module_path {modules}",
                *(f"module {name}.so" for name in ("stdio", codec, "sndfile", "aufile", "aubridge")),
                "module srtp.so",
                "module_tmp uuid.so",
                "module_tmp account.so",
                "module_app menu.so",
                "",
            )
        )
    )
    account = account or "<sip:+15550100@127.0.0.1>;regint=0"
    (directory / "accounts").write_text(f"{account}{options}\n")
    (directory / "contacts").write_text("")
    process = await asyncio.create_subprocess_exec(
        program,
        *("-4", "-f", str(directory), "-n", "127.0.0.1", "-e", f"/dial {dial}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
    )
    phone = Baresip(process, directory, [])
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_read(process, phone.lines))
        try:
            yield phone
        finally:
            await phone.hang_up()
            await reading


async def _read(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        lines.append(line.decode(errors="replace"))
        del lines[:-400]


@dataclass
class Kamailio:
    """A running proxy."""

    port: int
    process: asyncio.subprocess.Process
    log: Path

    def said(self, text: str) -> bool:
        """Return whether its log holds this."""
        return self.log.exists() and text in self.log.read_text(errors="replace")


@contextlib.asynccontextmanager
async def kamailio(
    directory: Path,
    *,
    users: dict[str, str] | None = None,
    trunk: str | None = None,
    login: tuple[str, str] | None = None,
    port: int | None = None,
) -> AsyncIterator[Kamailio]:
    """Run a registrar and proxy on UDP and TCP of a port of 127.0.0.1.

    `users` (name -> password) may register. A call to a registered name goes to its contact; any other to `trunk`, a
    SIP address, if there is one, with `login` as name and password if it asks for them. Calls come from anywhere: what
    stands behind decides.
    """
    program = require_tool("kamailio")
    directory.mkdir(parents=True)
    port, log = port or free_port(), directory / "log"
    passwords = "\n".join(
        f'    if ($au == "{name}") {{ $var(password) = "{password}"; }}' for name, password in (users or {}).items()
    )
    config = directory / "kamailio.cfg"
    config.write_text(
        f"""#!KAMAILIO
debug=2
log_stderror=yes
fork=no
children=1
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
tcp_children=1
auto_aliases=no
mpath="{_folder(_KAMAILIO_MODULES, "kamailio")}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "uac.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 60)
modparam("registrar", "min_expires", 1)
modparam("rr", "enable_full_lr", 1)
modparam("uac", "restore_mode", "none")
{f'modparam("uac", "credential", "{login[0]}:hearline:{login[1]}")' if login else ""}

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        loose_route();
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    if (is_method("REGISTER")) {{
        $var(password) = "";
{passwords}
        if ($var(password) == "" || !pv_www_authenticate("hearline.test", "$var(password)", "0")) {{
            www_challenge("hearline.test", "1");
            exit;
        }}
        save("location");
        if (registered("location", "$tu")) {{ xlog("L_WARN", "registered $au\\n"); }}
        else {{ xlog("L_WARN", "left $au\\n"); }}
        exit;
    }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("INVITE")) {{
        record_route();
        if (lookup("location")) {{
            t_relay();
            exit;
        }}
        {f'$du = "{trunk}"; t_on_failure("LOGIN"); t_relay(); exit;' if trunk else ""}
    }}
    sl_send_reply("404", "Not Found");
}}

failure_route[LOGIN] {{
    if (t_check_status("401|407") && uac_auth()) {{ t_relay(); }}
}}
"""
    )
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            program,
            "-DD",
            "-E",
            "-f",
            str(config),
            "-w",
            str(directory),
            "-Y",
            str(directory),
            stdout=file,
            stderr=file,
        )
    running = Kamailio(port, process, log)
    try:
        await until(lambda: _answers(running), within_s=15)
        yield running
    finally:
        await ended(process)


async def _answers(running: Kamailio) -> bool:
    assert running.process.returncode is None, running.log.read_text(errors="replace")[-3000:]
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    except OSError:
        return False
    writer.close()
    return True
