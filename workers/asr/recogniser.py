"""The recogniser that the settings lead to: its model, its threads, its languages; opened, warm."""

from __future__ import annotations

from importlib import import_module

from infra.console import UnusableError
from infra.settings import Settings
from infra.telemetry import logger
from workers.asr.calibration import Choice, choose
from workers.asr.cores import recogniser_lanes, recogniser_threads, usable_cores
from workers.asr.engines import Engine, EngineUnusableError, Server, choose_engine, open_engine
from workers.asr.engines.faster_whisper import DEFAULT_MODEL
from workers.asr.language_engine import for_all_languages, multilingual_model
from workers.asr.language_judge import Languages
from workers.asr.lighter import Pair, lighter_model
from workers.asr.models import ModelMissingError
from workers.asr.speakers.opening import MODEL

log = logger(__name__)


def open_recogniser(settings: Settings) -> tuple[Pair, Languages | None]:
    """Load the recogniser, warm, and name the lighter one for overload where this machine has it.

    With it come the languages that are to be told apart; None where there is one, or the engine does so by itself.

    Raises:
        UnusableError: the weights are missing, or the engine cannot run here.
    """
    per_recognition = threads(settings)
    key = settings.asr_api_key.get_secret_value() if settings.asr_api_key else None

    def opened(model: str) -> Engine:
        return open_engine(
            settings.asr_engine,
            model,
            settings.asr_device,
            first_language(settings),
            data_dir=settings.hearline_data_dir,
            threads=per_recognition,
            server=Server(settings.asr_base_url, key) if settings.asr_base_url else None,
        )

    model, engine = settings.asr_model or "auto", None
    try:
        choice = automatic_choice(settings, may_measure=settings.asr_calibrate)
        if choice is not None:
            log.info("model chosen", model=choice.model, why=choice.why)
            model, engine = choice.model, choice.engine
        if engine is None:
            engine = opened(model)
            engine.warm_up()
        wide = None
        if asked_language(settings) == "auto":
            wide = for_all_languages(
                engine,
                settings.asr_languages,
                alone=settings.asr_engine != "auto",
                data_dir=settings.hearline_data_dir,
                device=settings.asr_device,
                threads=per_recognition,
            )
    except (ModelMissingError, EngineUnusableError) as error:
        raise UnusableError(str(error)) from error

    def widened(model: str) -> Engine:
        return wide.beside(opened(model)) if wide else opened(model)

    lighter = lighter_model(engine.name, settings.hearline_data_dir)
    ready = wide or engine
    log.info("recogniser ready", engine=ready.name, lighter=lighter, threads=per_recognition)
    pair = Pair(ready, lighter=(lambda: widened(lighter)) if lighter else None, again=lambda: widened(model))
    return pair, wide.languages if wide else None


def asked_language(settings: Settings) -> str:
    """Return the language of all calls, `auto` where there may be several."""
    if settings.asr_language == "auto" and len(settings.asr_languages) == 1:
        return settings.asr_languages[0]
    return settings.asr_language


def first_language(settings: Settings) -> str:
    """Return what the first recogniser has to write; `auto` where English is among what may be spoken."""
    asked = asked_language(settings)
    without_english = settings.asr_languages and "en" not in settings.asr_languages
    return settings.asr_languages[0] if asked == "auto" and without_english else asked


def threads(settings: Settings) -> int:
    """Return the threads of one recognition."""
    return recogniser_threads(settings.asr_threads, usable_cores())


def lanes(settings: Settings, pair: Pair) -> int | None:
    """Return how many recognitions may run at once; None where it is a GPU that decides."""
    if not pair.capabilities.devices & {"cpu"}:
        return None
    return recogniser_lanes(threads(settings), usable_cores())


def is_automatic(settings: Settings) -> bool:
    """Return whether the model is left to this machine's speed."""
    return settings.asr_engine == "auto" and settings.asr_model in {None, "auto"}


def automatic_choice(settings: Settings, *, may_measure: bool = False) -> Choice | None:
    """Return the model that suits this machine's speed; None where the settings name one, or too little is known."""
    if not is_automatic(settings):
        return None
    return choose(
        settings.asr_device,
        first_language(settings),
        data_dir=settings.hearline_data_dir,
        threads=threads(settings),
        tracks=settings.asr_tracks,
        may_measure=may_measure,
    )


def model_name(settings: Settings) -> str:
    """Return the model that the settings lead to."""
    model = settings.asr_model or "auto"
    if model != "auto":
        return model
    if (choice := automatic_choice(settings)) is not None:
        return choice.model
    chosen = choose_engine(settings.asr_engine, model, settings.asr_device, first_language(settings))
    name: str = import_module(f"workers.asr.engines.{chosen}").DEFAULT_MODEL
    return name


def model_names(settings: Settings) -> list[str]:
    """Return all models that the settings lead to."""
    return [model_name(settings), *([MODEL] if settings.diarizer == "ge2e" else [])]


def missing_for_languages(settings: Settings) -> str | None:
    """Return the model that would tell languages apart, where that is asked for and none is here."""
    if settings.asr_engine != "auto" or asked_language(settings) != "auto":
        return None
    here = multilingual_model(settings.asr_device, settings.hearline_data_dir, threads(settings))
    return None if here else DEFAULT_MODEL
