"""The model's sizes: what a person chooses (params) and what the data decide, in one JSON-able record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import ValidationError

from omniges.config import ModelParams
from omniges.errors import CheckpointError, ConfigError
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH


@dataclass(frozen=True, kw_only=True)
class DataSizes:
    """Sizes that features, tokenizers and corpus bring along."""

    wavlm_width: int
    mfcc_width: int
    text_width: int
    parts: int
    quantizers: int
    codes: int
    code_dim: int
    fps: float
    speakers: tuple[int, ...]  # BEAT2's speaker numbers; row i of the speaker table is speakers[i]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything needed to build the model again."""

    sizes: ModelParams
    data: DataSizes

    def __post_init__(self) -> None:
        if self.sizes.head_dim % 2:
            raise ConfigError(
                f"model.head_dim: got {self.sizes.head_dim}, wanted an even number, for rotary positions."
            )
        if self.sizes.fusion_width % (2 * self.sizes.fusion_heads):
            raise ConfigError(
                f"model.fusion_width: got {self.sizes.fusion_width}, wanted a multiple of "
                f"2 x model.fusion_heads = {2 * self.sizes.fusion_heads}."
            )

    @property
    def token_width(self) -> int:
        """Channels of a gesture token on its way from noise: four frames, or their latents."""
        if self.sizes.predicts == "latents":
            return self.data.parts * self.data.code_dim
        return FRAMES_PER_CODE * GESTURE_WIDTH

    @property
    def token_span(self) -> int:
        """Gesture tokens that a window's length is a multiple of."""
        return max(1, self.sizes.audio_frames_per_token // FRAMES_PER_CODE)

    def to_json(self) -> dict[str, Any]:
        return {"sizes": self.sizes.model_dump(), "data": asdict(self.data)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ModelConfig":
        """Read back `to_json`.

        Raises:
            CheckpointError: keys are missing or foreign, or hold what they can't.
        """
        known = {f.name for f in fields(DataSizes)}
        data = value.get("data")
        if not isinstance(data, Mapping) or set(data) != known or "sizes" not in value:
            raise CheckpointError(
                f"config.json of the model: got {sorted(value)}, wanted `sizes` and `data` with "
                f"{sorted(known)}. "
                "The checkpoint was made by another version: train again."
            )
        try:
            sizes = ModelParams.model_validate(value["sizes"])
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise CheckpointError(
                f"config.json of the model: {found}. The checkpoint was made by another version: train again."
            ) from error
        return cls(sizes=sizes, data=DataSizes(**{**data, "speakers": tuple(data["speakers"])}))
