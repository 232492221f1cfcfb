"""Published tokenizers (`net_300000_<part>.pth`, `{'net': state_dict}`) to checkpoint folders and back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omniges.checkpoint import digest, load_foreign
from omniges.config import Params
from omniges.errors import CheckpointError, ConfigError
from omniges.files import atomic_path, sha256_file
from omniges.motion.layout import N_TRANS, PARTS, POSE_WIDTH, TRANS_SLICE
from omniges.tokenizers.checkpoints import read_part
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig
from omniges.tokenizers.statistics import Statistics

TOP_KEY = "net"
PUBLISHED_FPS = 30
_STATISTICS_FILES = {
    "mean_pose": "*330_mean.npy",
    "std_pose": "*330_std.npy",
    "mean_trans": "*trans_mean.npy",
    "std_trans": "*trans_std.npy",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One tensor of a file beside what the part's tokenizer asks for."""

    key: str
    found: tuple[int, ...] | None  # None: missing
    wanted: tuple[int, ...] | None  # None: not asked for

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "missing"
        if self.wanted is None:
            return "unexpected"
        return "found" if self.found == self.wanted else "other shape"


def read_state(path: Path) -> dict[str, Tensor]:
    """The state_dict in a published file.

    Raises:
        CheckpointError: missing, truncated, holding anything but tensors, or without the key `net`.
    """
    content = load_foreign(path)
    if not isinstance(content, Mapping) or TOP_KEY not in content:
        keys = sorted(map(str, content))[:5] if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(f"{path}: got {keys} at the top, wanted {{'{TOP_KEY}': state_dict}}.")
    state = content[TOP_KEY]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: '{TOP_KEY}' holds other things than tensors, wanted a state_dict.")
    # Trainings on several GPUs save with a prefix.
    return {key.removeprefix("module."): value for key, value in state.items()}


def config_from_state(state: Mapping[str, Tensor], part: str, where: Path | str) -> RVQVAEConfig:
    """Sizes of the network whose tensors these are; the channels are the part's."""
    try:
        width = state["encoder.model.0.weight"].shape[0]
        codes, code_dim = state["quantizer.layers.0.codebook"].shape
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{where}: no RVQ-VAE: {error} is missing or has another rank.") from error
    # Dropout is not in the file; the published trainings used 0.2.
    blocks = {m.group(1) for key in state if (m := re.match(r"encoder\.model\.2\.1\.model\.(\d+)\.", key))}
    layers = {m.group(1) for key in state if (m := re.match(r"quantizer\.layers\.(\d+)\.", key))}
    return RVQVAEConfig(
        channels=PARTS[part].width,
        width=width,
        depth=max(1, len(blocks)),
        dropout=0.2,
        quantizer=QuantizerConfig(
            codes=codes, code_dim=code_dim, quantizers=max(1, len(layers)), compatible=True
        ),
    )


def compare(state: Mapping[str, Tensor], config: RVQVAEConfig) -> list[Row]:
    """Every tensor found or wanted, in the network's order, strangers last."""
    own = {key: tuple(value.shape) for key, value in RVQVAE(config).state_dict().items()}
    rows = [
        Row(key=k, found=tuple(state[k].shape) if k in state else None, wanted=shape)
        for k, shape in own.items()
    ]
    return rows + [Row(key=k, found=tuple(v.shape), wanted=None) for k, v in state.items() if k not in own]


def load_published(path: Path, part: str) -> RVQVAE:
    """A published file as this project's network, in evaluation mode.

    Raises:
        CheckpointError: another part's file, other sizes, or no such file at all.
    """
    state = read_state(path)
    config = config_from_state(state, part, path)
    first = state["encoder.model.0.weight"]
    if first.ndim == 3 and first.shape[1] != config.channels:
        owner = [name for name, other in PARTS.items() if other.width == first.shape[1]]
        hint = f"it is the file of {owner[0]}" if owner else "no part has that width"
        raise CheckpointError(
            f"{path}: takes {first.shape[1]} channels, {part} has {config.channels}; {hint}. "
            "Name the right file."
        )
    faults = [row for row in compare(state, config) if row.verdict != "found"]
    if faults:
        lines = [
            f"  {row.key}: {row.verdict} (found {row.found}, wanted {row.wanted})" for row in faults[:12]
        ]
        more = [f"  ... {len(faults) - 12} more"] if len(faults) > 12 else []
        raise CheckpointError("\n".join([f"{path}: {len(faults)} tensors do not fit {part}:", *lines, *more]))
    bad = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"{path}: {bad[0]} and {len(bad) - 1} more are not finite. Download it again.")
    model = RVQVAE(config)
    model.load_state_dict(state)
    return model.eval()


def write_published(path: Path, model: RVQVAE) -> None:
    """Write `{'net': state_dict}` for other people's code."""
    with atomic_path(path) as temporary:
        torch.save({TOP_KEY: {key: value.cpu() for key, value in model.state_dict().items()}}, temporary)


def published_statistics(
    part: str, *, mean_pose: Path, std_pose: Path, mean_trans: Path, std_trans: Path
) -> Statistics:
    """A part's normalisation from the four published arrays; the face is not normalised.

    Args:
        part: name of the body part.
        mean_pose: npy [330].
        std_pose: npy [330].
        mean_trans: npy [3].
        std_trans: npy [3].
    """
    mean, std = np.zeros(TRANS_SLICE.stop), np.ones(TRANS_SLICE.stop)
    mean[:POSE_WIDTH], std[:POSE_WIDTH] = _vector(mean_pose, POSE_WIDTH), _vector(std_pose, POSE_WIDTH)
    mean[TRANS_SLICE], std[TRANS_SLICE] = _vector(mean_trans, N_TRANS), _vector(std_trans, N_TRANS)
    if part == "face":
        return _unnormalised(part)
    channels = PARTS[part].channels
    if not (std[channels] > 0).all():
        raise CheckpointError(
            f"{std_pose}: a deviation of {part} is not above zero; wanted the published file."
        )
    return Statistics(mean[channels].astype(np.float32), std[channels].astype(np.float32))


def statistics_in(part: str, folder: Path | None) -> Statistics:
    """A part's published normalisation from a folder that holds the four arrays under their usual names."""
    if folder is None:
        if part == "face":
            return _unnormalised(part)
        raise CheckpointError(f"{part}: needs the statistics of its training; give --statistics FOLDER.")
    found = {}
    for name, pattern in _STATISTICS_FILES.items():
        files = sorted(folder.glob(pattern))
        if len(files) != 1:
            raise CheckpointError(f"{folder}: got {len(files)} files like {pattern}, wanted one.")
        found[name] = files[0]
    return published_statistics(part, **found)


def from_params(params: Params, part: str) -> tuple[RVQVAE, Statistics, dict[str, Any]]:
    """The tokenizer that `tokenizers.checkpoints` names, its statistics and its provenance.

    A `.pth` file needs the four published arrays beside it; a checkpoint folder carries its own.
    """
    files = params.tokenizers.checkpoints.model_dump()
    path = Path(files[part])
    if path.is_dir():
        model, checkpoint = read_part(path, part)
        if checkpoint.config["fps"] not in (None, params.data.fps):
            raise ConfigError(
                f"tokenizers.checkpoints.{part}: {path} was trained at {checkpoint.config['fps']} fps, "
                f"data.fps is {params.data.fps}. Set data.fps to it, or train this part here."
            )
        mean, std = (checkpoint.statistics[name].numpy() for name in ("mean", "std"))
        return model, Statistics(mean, std), {"copied_from": digest(path)}
    missing = [name for name in _STATISTICS_FILES if files[name] is None]
    if missing:
        raise ConfigError(
            f"tokenizers.checkpoints.{part} is set, but {', '.join(missing)} are null; published tokenizers "
            "need the statistics that they were trained with (beatx_2_330_mean.npy and its companions)."
        )
    if params.data.fps != PUBLISHED_FPS:
        raise ConfigError(
            f"tokenizers.checkpoints.{part}: published tokenizers read {PUBLISHED_FPS} fps, data.fps is "
            f"{params.data.fps}. Set data.fps to {PUBLISHED_FPS}, or train this part here."
        )
    arrays = {name: Path(files[name]) for name in _STATISTICS_FILES}
    hashes = {name: sha256_file(array) for name, array in arrays.items()}
    statistics = published_statistics(part, **arrays)
    return load_published(path, part), statistics, {**provenance(path), "statistics": hashes}


def provenance(path: Path) -> dict[str, Any]:
    """What a converted checkpoint says about its source."""
    return {"published": path.name, "sha256": sha256_file(path)}


def _unnormalised(part: str) -> Statistics:
    width = PARTS[part].width
    return Statistics(np.zeros(width, np.float32), np.ones(width, np.float32))


def _vector(path: Path, width: int) -> NDArray[np.float64]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: can't be read as a numpy array: {error}.") from error
    if values.shape != (width,) or not np.isfinite(values).all():
        raise CheckpointError(f"{path}: got shape {values.shape}, wanted ({width},) finite numbers.")
    return values.astype(np.float64)
