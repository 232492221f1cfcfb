"""What training starts from: windows of the pack, and a fresh model that fits the data."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.config import Params
from omniges.data.packed import Pack, PackedClip, PackIndex, read_index
from omniges.data.windows import WindowDataset, collate
from omniges.errors import ConfigError
from omniges.model.a2g import A2G
from omniges.model.config import DataSizes, ModelConfig
from omniges.model.prior import moments
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.training.draws import seed_of
from omniges.training.loop import Data
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)
PRIOR_CLIPS = 128
"""Train clips that shape the noise: at least as many, where there are, and fewer than twice as many."""
CONSTANT_STD = 1e-4
"""Radians; the deviation that a jaw or eye channel which never moves in the train split is given."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything that the run's data decide."""

    data: Data
    config: ModelConfig
    statistics: dict[str, Tensor]  # mean and std of mfcc, wavlm, side; what shapes the noise, if it is shaped
    codebooks: Tensor  # [P, Q, K, D]
    latent_std: Tensor  # [P]

    def model(self, seed: int) -> A2G:
        """A fresh model, the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "weights"))
            return A2G(self.config, self.statistics, self.codebooks, self.latent_std)


def load_inputs(params: Params, workspace: Workspace) -> Inputs:
    """Read the pack's index and the tokenizers' code vectors; no gesture is decoded and no audio heard in
    training.
    """
    check_window(params)
    pack = Pack(workspace.pack, params.train.shards)
    index = pack.index
    _say_which(params, workspace, index)
    codebooks = GestureTokenizer.load(workspace).codebooks()
    std = latent_std(pack, codebooks)
    parts, quantizers, codes, code_dim = codebooks.shape
    statistics = {
        f"{name}_{kind}": torch.as_tensor(value, dtype=torch.float32)
        for name in ("mfcc", "wavlm", "side")
        for kind, value in (("mean", index.statistics[name].mean), ("std", index.statistics[name].std))
    }
    # The pack gives a constant channel a std of 1; one radian would make the least error there visible.
    statistics["side_std"][statistics["side_std"] == 1] = CONSTANT_STD
    if params.model.noise == "shaped":
        latents = (codebooks, std) if params.model.predicts == "latents" else None
        statistics |= moments(_clean_tokens(pack, latents))
    sizes = DataSizes(
        wavlm_width=len(statistics["wavlm_mean"]),
        mfcc_width=len(statistics["mfcc_mean"]),
        text_width=index.text_width,
        parts=parts,
        quantizers=quantizers,
        codes=codes,
        code_dim=code_dim,
        fps=float(params.data.fps),
        speakers=tuple(index.speakers),
    )
    train = params.train
    windows = {
        split: WindowDataset(
            workspace.pack, split, train.window_frames, train.stride_frames, shards=train.shards
        )
        for split in ("train", "val")
    }
    return Inputs(
        data=Data(train=windows["train"], val=windows["val"], collate=collate),
        config=ModelConfig(sizes=params.model, data=sizes),
        statistics=statistics,
        codebooks=codebooks,
        latent_std=std,
    )


def _say_which(params: Params, workspace: Workspace, index: PackIndex) -> None:
    if params.train.shards == "all":
        return
    whole = read_index(workspace.pack)
    counts = [
        f"{len(index.clips_of(split))} of {len(whole.clips_of(split))} {split} clips"
        for split in ("train", "val")
    ]
    logger.info(
        "train.shards: %d of the pack's %d shards (%s), with %s",
        len(index.shards),
        len(whole.shards),
        ", ".join(sorted(index.shards)),
        " and ".join(counts),
    )
    heard = {index.clips[clip].speaker for clip in index.clips_of("train")}
    unheard = [str(name) for row, name in enumerate(index.speakers) if row not in heard]
    if unheard:
        logger.warning(
            "train.shards: no train clip of speaker %s is in them; the model won't know how they move.",
            ", ".join(unheard),
        )


def latent_std(pack: Pack, codebooks: Tensor) -> Tensor:
    """[P] deviation of the summed code vectors over the train split's tokens, pooled over channels."""
    count, total, square = 0, torch.zeros(1).double(), torch.zeros(1).double()
    for clip in pack.index.clips_of("train"):
        latent = _latents(pack.clip(clip), codebooks).double()
        count += len(latent)
        total, square = total + latent.sum(0), square + latent.square().sum(0)
    variance = square / count - (total / count).square()
    return variance.mean(-1).sqrt().clamp(min=1e-6).float()


def _latents(clip: PackedClip, codebooks: Tensor) -> Tensor:
    """[N, P, D] summed code vectors."""
    parts, quantizers = torch.arange(codebooks.shape[0])[:, None], torch.arange(codebooks.shape[1])[None]
    return codebooks[parts, quantizers, torch.from_numpy(clip.codes)].sum(2)


def _clean_tokens(pack: Pack, latents: tuple[Tensor, Tensor] | None) -> list[Tensor]:
    """Train clips as the flow knows them, see `A2G.tokens`: [N, X] each; of many clips an even choice.

    Args:
        pack: gesture and codes.
        latents: code vectors and their deviation, for a flow among latents.
    """
    clips, found = pack.index.clips_of("train"), []
    for clip in map(pack.clip, clips[:: max(1, len(clips) // PRIOR_CLIPS)]):
        if latents:
            codebooks, std = latents
            found.append((_latents(clip, codebooks) / std[:, None]).flatten(1))
        else:
            whole = clip.gesture[: len(clip.gesture) // FRAMES_PER_CODE * FRAMES_PER_CODE]
            found.append(torch.from_numpy(whole).float().unflatten(0, (-1, FRAMES_PER_CODE)).flatten(1))
    return found


def check_window(params: Params) -> None:
    """Refuse window sizes that codes can't fill."""
    train = params.train
    for name in ("window_frames", "stride_frames", "prefix_frames"):
        value = getattr(train, name)
        if value % FRAMES_PER_CODE:
            raise ConfigError(
                f"train.{name}: got {value}, wanted a multiple of {FRAMES_PER_CODE} (frames a code)."
            )
    if train.prefix_frames >= train.window_frames:
        raise ConfigError(
            f"train.prefix_frames: got {train.prefix_frames}, wanted less than "
            f"train.window_frames = {train.window_frames}, or nothing would be left to learn."
        )
