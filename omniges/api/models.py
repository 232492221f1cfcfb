"""Where a trained model is: a folder, the newest one, or an artifact of an MLflow run."""

from pathlib import Path
from typing import Any

from omniges import tracked
from omniges.config import SamplingParams
from omniges.errors import CheckpointError
from omniges.files import read_json
from omniges.motion.layout import FRAMES_PER_CODE

PIECES = ("a2g", "encoders", "tokenizers")


def find_model(path: Path | str | None) -> Path:
    """The folder that holds a model's three pieces.

    Args:
        path: that folder, its `a2g`, or a model in MLflow (runs:/ID/model); None takes the newest below
            `models/`.

    Raises:
        CheckpointError: there is none, or a piece is missing.
    """
    if path is None:
        return newest_model()
    if tracked.is_model_uri(str(path)):
        return tracked.fetch_model(str(path))
    folder = Path(path)
    folder = folder.parent if folder.name == "a2g" else folder
    missing = [piece for piece in PIECES if not (folder / piece).is_dir()]
    if missing:
        raise CheckpointError(
            f"{folder}: got no {', '.join(missing)}; wanted a folder with "
            f"{', '.join(PIECES)}, such as models/demo."
        )
    return folder


def newest_model() -> Path:
    """The folder below `models/` whose model was trained last."""
    found = sorted(Path("models").glob("*/a2g/model.safetensors"), key=lambda p: (p.stat().st_mtime, p))
    if not found:
        raise CheckpointError(
            "models/: holds no trained model. Run `make demo` or `dvc repro`, or name a folder with --model."
        )
    return found[-1].parent.parent


def default_sampling(provenance: dict[str, Any]) -> SamplingParams:
    """The shipped options, with the window that the model was trained on; overlap and lookahead keep their
    shares of it.
    """
    options = read_json(Path(__file__).with_name("sampling.json"))
    window = provenance["train"]["window_frames"]
    for name in ("overlap_frames", "lookahead_frames"):
        codes = options[name] * window // (options["window_frames"] * FRAMES_PER_CODE)
        options[name] = max(1, codes) * FRAMES_PER_CODE
    return SamplingParams.model_validate({**options, "window_frames": window})


def notes_of(sampling: SamplingParams) -> dict[str, Any]:
    """Options to be written beside a take: without those that only choose a run's clips and seeds."""
    return sampling.model_dump(exclude={"seeds", "batch_clips"})


def live_options(window_frames: int) -> dict[str, int]:
    """What `Omniges.stream` takes for a voice that is being spoken: small windows, so that the body follows
    closely; docs/model.md has what they cost.

    Args:
        window_frames: that the model was trained on, which is kept where it is no larger.
    """
    options: dict[str, int] = read_json(Path(__file__).with_name("live.json"))
    if window_frames <= options["window_frames"]:
        return {"decoder_ahead_frames": options["decoder_ahead_frames"]}
    return options
