"""Loading WavLM: a folder in, an encoder of waves out.

Shapes: B chunks, N samples, L frames, D hidden width.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omniges.errors import CheckpointError
from omniges.features.source import loading

if TYPE_CHECKING:
    from omniges.features.wavlm_forward import FusedWavLM

WIDTH = 768
_NORMALISE_EPSILON = 1e-7  # as in the library's Wav2Vec2FeatureExtractor
logger = logging.getLogger(__name__)


class WavlmEncoder:
    """Waves of one length to hidden states."""

    def __init__(self, network: "FusedWavLM", *, receptive_field: int, stride: int, normalise: bool) -> None:
        self.receptive_field, self.stride = receptive_field, stride  # samples
        self._network, self._normalise = network, normalise

    def __call__(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """[B, N] to [B, L, D] float32."""
        import torch

        if self._normalise:
            mean, variance = waves.mean(axis=1, keepdims=True), waves.var(axis=1, keepdims=True)
            waves = (waves - mean) / np.sqrt(variance + _NORMALISE_EPSILON)
        hidden: NDArray[np.float32] = (
            self._network(torch.from_numpy(waves).to(self._network.device)).cpu().numpy()
        )
        return hidden


def load_wavlm(folder: Path, *, layer: int, compute: str, device: str | None = None) -> WavlmEncoder:
    """Load through `WavLMModel.from_pretrained`.

    Args:
        folder: in save_pretrained format; `preprocessor_config.json` says whether waves are normalised.
        layer: index into hidden states, -1 for the last.
        compute: "float32" or "bfloat16".
        device: "cpu", "cuda", ...; the GPU by default where there is one.

    Raises:
        CheckpointError: the folder holds no WavLM, one of another width, or lacks weights.
    """
    import torch
    from transformers import WavLMModel

    from omniges.features.wavlm_forward import FusedWavLM

    with loading(folder, "wavlm.model"):
        loaded: Any = WavLMModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    model, info = loaded
    _check(folder, model.config, info["missing_keys"])
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if compute == "bfloat16" and where.type == "cpu" and not has_fast_bfloat16():
        logger.warning(
            "wavlm.compute is bfloat16, but this CPU has no bfloat16 instructions; float32 is much faster "
            "here."
        )
    network = FusedWavLM(model, layer=layer, compute=getattr(torch, compute), device=where)
    receptive_field, stride = frame_geometry(model.config.conv_kernel, model.config.conv_stride)
    return WavlmEncoder(
        network, receptive_field=receptive_field, stride=stride, normalise=_normalises(folder)
    )


def frame_geometry(kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Samples that a frame of stacked convolutions sees, and samples from frame to frame (400 and 320)."""
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field, step = field + (kernel - 1) * step, step * stride
    return field, step


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX, or ARM's BF16)."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check(folder: Path, config: Any, missing: Sequence[str]) -> None:
    if config.model_type != "wavlm":
        raise CheckpointError(
            f"{folder}: got a {config.model_type} model, wanted wavlm. Set wavlm.model in params.yaml."
        )
    if config.hidden_size != WIDTH:
        raise CheckpointError(
            f"{folder}: got hidden width {config.hidden_size}, wanted {WIDTH} (WavLM base or base-plus). "
            "Set wavlm.model in params.yaml."
        )
    # SpecAugment's embedding is used in training only, and old checkpoints may lack it.
    lacking = sorted(set(missing) - {"masked_spec_embed"})
    if lacking:
        raise CheckpointError(
            f"{folder}: the weights lack {len(lacking)} tensors, e.g. {lacking[0]}; wanted a whole WavLM. "
            "Fetch the model again."
        )


def _normalises(folder: Path) -> bool:
    """Whether waves are brought to mean 0 and variance 1 before they are fed, as the checkpoint says."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        logger.warning("%s: no such file; waves are fed as they are, without normalisation.", path)
        return False
    return bool(json.loads(path.read_text("utf-8")).get("do_normalize", True))
