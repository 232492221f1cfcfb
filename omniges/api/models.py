"""Where a trained model is: a folder, the newest one, or an artifact of an MLflow run."""

from pathlib import Path
from typing import Any, Literal

from omniges import checkpoint, tracked
from omniges.config import SamplingParams
from omniges.errors import CheckpointError
from omniges.files import read_json
from omniges.motion.layout import FRAMES_PER_CODE

MODEL, BESIDE = "a2g", ("encoders", "tokenizers")
"""Names of the network's folder and of the two beside it that it needs."""
OF_SHAPED_NOISE = {"steps": 4, "time_shift": 0.5, "first_step": "drawn", "coherence_s": 0.8}
"""Options of `sampling` for `model.noise: shaped`, as docs/study.md measured them."""


def find_model(path: Path | str | None) -> Path:
    """The network's folder, beside which lie `encoders/` and `tokenizers/`.

    Args:
        path: the folder that holds all three, the network's own (`a2g`, or another checkpoint beside it), or
            a model in MLflow (runs:/ID/model); None takes the newest below `models/`.

    Raises:
        CheckpointError: there is none, or a piece is missing.
    """
    if path is None:
        return newest_model()
    if tracked.is_model_uri(str(path)):
        return tracked.fetch_model(str(path)) / MODEL
    own = Path(path)
    is_network = own.name == MODEL or (own / checkpoint.WEIGHTS).is_file()
    network = own if is_network else own / MODEL
    missing = [folder.name for folder in _pieces(network) if not folder.is_dir()]
    if missing:
        wanted = ", ".join(folder.name for folder in _pieces(network))
        raise CheckpointError(
            f"{network.parent}: got no {', '.join(missing)}; wanted a folder with {wanted}, "
            "such as models/demo."
        )
    return network


def _pieces(network: Path) -> list[Path]:
    return [network, *(network.parent / name for name in BESIDE)]


def newest_model() -> Path:
    """The model below `models/` that was trained last; its baseline isn't counted."""
    found = sorted(
        Path("models").glob(f"*/{MODEL}/{checkpoint.WEIGHTS}"), key=lambda p: (p.stat().st_mtime, p)
    )
    if not found:
        raise CheckpointError(
            "models/: holds no trained model. Run `make demo` or `dvc repro`, or name a folder with --model."
        )
    return found[-1].parent


def default_sampling(provenance: dict[str, Any], noise: Literal["white", "shaped"]) -> SamplingParams:
    """The shipped options, with the window that the model was trained on; overlap and lookahead keep their
    shares of it. A model that starts from shaped noise has steps of its own.
    """
    options = read_json(Path(__file__).with_name("sampling.json"))
    if noise == "shaped":
        options |= OF_SHAPED_NOISE
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
