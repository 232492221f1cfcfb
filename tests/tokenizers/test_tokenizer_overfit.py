"""The shipped recipe on both real clips: every quantizer helps, and the first codebook is in use."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from omniges.config import load_params
from omniges.data.beat2 import read_motion
from omniges.motion.features import motion_to_features
from omniges.motion.layout import PART_NAMES, PARTS
from omniges.tokenizers import reconstruction
from omniges.tokenizers import statistics as normalisation
from omniges.tokenizers.reconstruction import ClipChannels
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of
from omniges.tokenizers.statistics import Statistics
from omniges.tokenizers.training import Trainer
from omniges.tokenizers.windows import TrainFrames

STEPS = 200
CODES = 128  # two clips give a thousand tokens: more codes would wait for work in vain


@pytest.mark.slow
@pytest.mark.parametrize("part", PART_NAMES)
def test_real_clips_use_the_first_codebook_and_every_quantizer_helps(part: str, beat2_sample: Path):
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    section = params.tokenizers.model_copy(update={"steps": STEPS, "lr_milestones": [150], "codes": CODES})
    params = params.model_copy(update={"tokenizers": section})
    files = sorted((beat2_sample / "smplxflame_30").glob("*.npz"))
    assert len(files) == 2
    clips = [
        ClipChannels(path.stem, motion_to_features(read_motion(path)).values[:, PARTS[part].channels])
        for path in files
    ]
    statistics = normalisation.measure(part, (clip.values for clip in clips))
    data = TrainFrames.of(part, [(c.clip, c.values) for c in clips], statistics, section.window_frames)
    torch.manual_seed(section.seed)
    trainer = Trainer(part, RVQVAE(config_of(params, part)), data, statistics, section)
    trainer.run()
    found = reconstruction.measure(part, trainer.model, statistics, clips, 30, "train")
    errors = found["by_quantizers_kept"]["normalised_abs_error"]
    assert errors[-1] < 0.98 * errors[0]
    left = _left_over(trainer.model, statistics, clips)
    assert all(after < 0.95 * before for before, after in pairwise(left))
    assert found["codes"]["used_share"][0] >= 0.8


@torch.no_grad()
def _left_over(model: RVQVAE, statistics: Statistics, clips: list[ClipChannels]) -> list[float]:
    """Energy of the latents that 0, 1, ... Q quantizers leave unsaid.

    What each of them must lower. The decoded error would hardly tell the last ones: after 200 steps the
    autoencoder's own share is most of it, and the rest moves by a thousandth either way.
    """
    left = torch.zeros(model.config.quantizer.quantizers + 1, dtype=torch.float64)
    for clip in clips:
        latent = model.encode_latent(torch.from_numpy((clip.values - statistics.mean) / statistics.std)[None])
        codes = model.quantizer.encode(latent)
        left[0] += latent.square().sum()
        for kept in range(1, len(left)):
            left[kept] += (latent - model.quantizer.lookup(codes[..., :kept])).square().sum()
    return left.tolist()
