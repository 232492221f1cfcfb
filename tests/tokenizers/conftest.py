from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizer_toys import with_tokenizers, write_world

from omniges.config import Params, load_params
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig
from omniges.workspace import Workspace

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def tiny() -> Callable[..., RVQVAE]:
    """A network of any sizes, small by default."""

    def make(channels: int = 7, width: int = 16, depth: int = 2, **quantizer: Any) -> RVQVAE:
        torch.manual_seed(0)
        sizes = {"codes": 16, "code_dim": 8, "quantizers": 3, **quantizer}
        return RVQVAE(
            RVQVAEConfig(
                channels=channels, width=width, depth=depth, dropout=0.0, quantizer=QuantizerConfig(**sizes)
            )
        )

    return make


@pytest.fixture
def params() -> Params:
    return with_tokenizers(load_params(REPOSITORY / "params.yaml"))


@pytest.fixture
def world(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in a temporary folder with three clips."""
    monkeypatch.chdir(tmp_path)
    W = Workspace.of(params)
    write_world(W, {"1_made_0_1_1": "train", "1_made_0_2_2": "train", "1_made_0_3_3": "val"})
    return W
