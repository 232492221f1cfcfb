"""A whole model folder with random weights, built once: what `Omniges.load` needs, without training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from a2g_toys import sizes, train_params

from omniges import checkpoint
from omniges.config import load_params
from omniges.features.stage import encoders
from omniges.model.a2g import A2G
from omniges.model.config import DataSizes, ModelConfig
from omniges.motion.layout import FRAMES_PER_CODE, PARTS
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig
from omniges.workspace import Workspace


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """models/<name> with untrained encoders, tokenizers, a2g and the latent flow beside it."""
    root = tmp_path_factory.mktemp("model")
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    workspace = Workspace(name="toy", raw=root / "raw")
    object.__setattr__(workspace, "name", str(root / "toy"))  # Path("models") / absolute is the absolute path
    encoders(params, workspace)
    torch.manual_seed(0)
    for part in PARTS.values():
        save_tokenizer(workspace.tokenizer(part.name), part)
    save_a2g(workspace, params)
    save_a2g(workspace.latent_flow, params, predicts="latents")
    return workspace.models


def save_tokenizer(folder, part):
    quantizer = QuantizerConfig(codes=16, code_dim=8, quantizers=2)
    model = RVQVAE(RVQVAEConfig(channels=part.width, width=8, depth=1, dropout=0.0, quantizer=quantizer))
    mean = torch.zeros(part.width)
    for first in range(0, 6 * len(part.joints), 6):  # standing straight: identity turns in every joint
        mean[first : first + 6] = torch.tensor([1.0, 0, 0, 0, 1, 0])
    if part.name == "lower_trans":
        mean[-3:] = torch.tensor([0.0, 1.3, 0.0])
    std = torch.full((part.width,), 0.05)
    checkpoint.save(
        folder,
        tensors=model.state_dict(),
        config={"kind": "rvqvae", "part": part.name, "fps": 30.0, "rvqvae": model.config.to_dict()},
        statistics={"mean": mean, "std": std},
        provenance={},
    )


def save_a2g(workspace, params, **changes):
    codebooks = GestureTokenizer.load(workspace).codebooks()
    parts, quantizers, codes, code_dim = codebooks.shape
    widths = {"mfcc": params.mfcc.n_mfcc, "wavlm": 768, "side": 9}
    statistics = {
        f"{n}_{k}": torch.full((w,), v) for n, w in widths.items() for k, v in (("mean", 0.0), ("std", 1.0))
    }
    data = DataSizes(
        wavlm_width=768,
        mfcc_width=params.mfcc.n_mfcc,
        text_width=1024,
        parts=parts,
        quantizers=quantizers,
        codes=codes,
        code_dim=code_dim,
        fps=30.0,
        speakers=(1, 2),
    )
    config = ModelConfig(sizes=sizes(audio_frames_per_token=FRAMES_PER_CODE, **changes), data=data)
    model = A2G(config, statistics, codebooks, torch.ones(parts))
    features = {name: getattr(params, name).model_dump() for name in ("mfcc", "wavlm", "text")}
    checkpoint.save(
        workspace.a2g,
        tensors=model.state_dict(),
        config=config.to_json(),
        statistics={**statistics, "latent_std": torch.ones(parts)},
        provenance={"features": features, "train": train_params().model_dump()},
    )


@pytest.fixture(scope="session")
def omniges(model_folder):
    from omniges.api import Omniges

    return Omniges.load(model_folder, device="cpu")


@pytest.fixture
def tone():
    """A voice-like wave [N]: 3 s at 16 kHz, two bursts of a harmonic tone."""
    t = np.arange(48_000) / 16_000
    wave = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    return (0.1 * wave * ((t % 1.5) < 1.0)).astype(np.float32)
