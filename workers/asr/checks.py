"""What `hearline doctor` says of the recogniser; nothing is loaded or measured for it."""

from __future__ import annotations

from infra.doctor import Check
from infra.settings import Settings
from workers.asr import recogniser
from workers.asr.calibration import kept
from workers.asr.engines import choose_device
from workers.asr.language_engine import multilingual_model
from workers.asr.models import ModelMissingError, resolve
from workers.asr.speakers.opening import MODEL


def check_recogniser(settings: Settings) -> list[Check]:
    """Look at the model, the machine's speed, and what tells speakers and languages apart."""
    return [check_model(settings), check_speed(settings), check_diarizer(settings), check_languages(settings)]


def check_model(settings: Settings) -> Check:
    """Say which model there is."""
    name = recogniser.model_name(settings)
    if settings.asr_engine == "openai":
        if settings.asr_base_url is None:
            return Check("model", False, "ASR_ENGINE=openai needs ASR_BASE_URL, such as https://HOST/v1")
        return Check("model", None, f"{name} at {settings.asr_base_url}: asked when the worker starts")
    try:
        folder = resolve(name, settings.hearline_data_dir)
    except ModelMissingError as error:
        return Check("model", False, str(error))
    return Check("model", True, f"{name} in {folder}")


def check_speed(settings: Settings) -> Check:
    """Say what was measured; measure nothing."""
    if not recogniser.is_automatic(settings):
        return Check("speed", None, "not asked: ASR_ENGINE or ASR_MODEL says what to take")
    known = kept(
        settings.hearline_data_dir,
        device=choose_device(settings.asr_device),
        threads=recogniser.threads(settings),
    )
    choice = recogniser.automatic_choice(settings)
    if choice is None:
        return Check("speed", None, "not measured yet: the next start does, or `hearline models measure`")
    figures = ", ".join(f"{each.model} {each.rtf:.3f} (up to {each.tracks()} tracks)" for each in known.values())
    enough = choice.model in known and known[choice.model].tracks() >= settings.asr_tracks
    return Check("speed", True if enough else None, f"{choice.model}: {choice.why}; measured: {figures}")


def check_languages(settings: Settings) -> Check:
    """Say which languages will be told apart, by which model."""
    if (asked := recogniser.asked_language(settings)) != "auto":
        return Check("languages", None, f"{asked} only: the settings say so")
    if settings.asr_engine not in {"auto", "faster-whisper"}:
        return Check("languages", None, f"left to ASR_ENGINE={settings.asr_engine}")
    if missing := recogniser.missing_for_languages(settings):
        return Check("languages", None, f"English only, until `hearline models fetch {missing}` has been run")
    model = multilingual_model(settings.asr_device, settings.hearline_data_dir, recogniser.threads(settings))
    among = ", ".join(settings.asr_languages) or "all that it writes"
    return Check("languages", True, f"told apart by {model}: {among}")


def check_diarizer(settings: Settings) -> Check:
    """Say whether speakers on one track will be told apart."""
    if settings.diarizer != "ge2e":
        return Check("speakers", None, f"DIARIZER={settings.diarizer}")
    try:
        return Check("speakers", True, f"{MODEL} in {resolve(MODEL, settings.hearline_data_dir)}")
    except ModelMissingError as error:
        return Check("speakers", None, f"not told apart on mixed tracks: {error}")
