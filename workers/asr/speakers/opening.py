"""Opens the diarizer that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from workers.asr import models
from workers.asr.speakers import Diarizer, DiarizerUnusableError

MODEL: Final = "speakers/ge2e"


def open_diarizer(name: str, *, most: int, data_dir: Path, checkpoint: Path | None = None) -> Diarizer | None:
    """Load a diarizer: `ge2e` (the built-in one), `pyannote` with a checkpoint folder, or None for `off`.

    Raises DiarizerUnusableError, or `workers.asr.models.ModelMissingError` with the command that fetches the weights.
    """
    if name == "off":
        return None
    if name == "pyannote":
        from workers.asr.speakers.pyannote import Pyannote

        if checkpoint is None or not checkpoint.is_dir():
            raise DiarizerUnusableError(
                "DIARIZER=pyannote needs DIARIZER_MODEL: the folder of a pipeline on this machine"
            )
        return Pyannote(checkpoint, most=most)
    from workers.asr.speakers.ge2e import Ge2e
    from workers.asr.speakers.voices import VoiceDiarizer

    return VoiceDiarizer(Ge2e(models.resolve(MODEL, data_dir)).embed, most=most)
