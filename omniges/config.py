"""Typed, frozen parameters: one class a section of params.yaml; every key must be written there.

Nothing has a default in code: DVC and the pipeline's keys see params.yaml only, so a value that lived here
could change unseen.
"""

import difflib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from omniges.errors import ConfigError

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
StoredFloat = Literal["float16", "float32"]


class Section(BaseModel):
    """A section: unknown keys are refused, text is never coerced, nothing can be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CorpusParams(Section):
    """The corpus the project makes itself; with `make: false`, `data.root` is somebody else's BEAT2 tree."""

    make: bool
    seed: NonNegativeInt
    speakers: PositiveInt
    train_clips: PositiveInt  # a speaker
    val_clips: PositiveInt  # a speaker
    test_clips: PositiveInt  # a speaker
    clip_s: Positive
    share: Share  # share of gesture variance that the speech decides; 0 makes the negative control
    voice: Literal["formant", "espeak"]


class DataParams(Section):
    """Which clips are used, at which rate, and what happens to the bad ones."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]  # folder name below data/ and models/
    root: str
    fps: Literal[15, 30]
    speakers: list[PositiveInt] | Literal["all"]
    additional: bool  # take BEAT2's `additional` clips into train
    exclude: list[str]  # ids, or patterns such as 12_zhao_2_*
    required_splits: list[Literal["train", "val", "test"]]  # an empty one of these stops the run
    on_bad_clip: Literal["report", "stop"]
    max_gap_s: Positive  # allowed difference of motion and audio length
    shards: PositiveInt


class MfccParams(Section):
    n_mfcc: PositiveInt
    n_mels: PositiveInt
    window_s: Positive
    hop_s: Positive
    dtype: StoredFloat


class EncodersParams(Section):
    """Tiny, untrained WavLM and text encoder, built locally for runs without downloads."""

    seed: NonNegativeInt
    wavlm_layers: PositiveInt
    text_layers: PositiveInt


class WavlmParams(Section):
    model: str  # "tiny": the local untrained one; else a folder or a hub name
    layer: int  # index into hidden states; -1 is the last
    chunk_s: Positive  # WavLM-base normalises over time, so the chunk's length is part of the feature
    overlap_s: NonNegative
    batch: PositiveInt
    compute: Literal["float32", "bfloat16"]
    dtype: StoredFloat


class TextParams(Section):
    model: str  # "tiny": the local untrained one; else a folder or a hub name
    layer: int
    window_words: PositiveInt  # words encoded together
    dtype: StoredFloat


class TokenizerCheckpoints(Section):
    """Published `net_300000_*.pth` files by part; null trains that part here."""

    upper: str | None
    hands: str | None
    lower_trans: str | None
    face: str | None
    mean_pose: str | None  # beatx_2_330_mean.npy and its three companions, needed with published checkpoints
    std_pose: str | None
    mean_trans: str | None
    std_trans: str | None


class TokenizersParams(Section):
    seed: NonNegativeInt
    width: PositiveInt
    code_dim: PositiveInt
    codes: PositiveInt
    quantizers: PositiveInt
    depth: PositiveInt
    dropout: Share
    quantizer_dropout: Share
    ema_decay: Share
    steps: PositiveInt
    batch: PositiveInt
    window_frames: PositiveInt
    lr: Positive
    warmup_steps: NonNegativeInt
    lr_milestones: list[PositiveInt]
    lr_gamma: Share
    weight_decay: NonNegative
    commitment: NonNegative
    velocity: NonNegative
    acceleration: NonNegative
    geodesic: NonNegative  # weight of the rotation loss (squared chord)
    joints: NonNegative  # weight of the joint position loss, per metre
    path: NonNegative  # weight of the loss on the place that a window's steps lead to, per metre
    contact: NonNegative  # weight of the loss on movements of standing feet, per metre and frame
    temperature: NonNegative  # of the noise on training searches; the published recipe has 0.5
    dead_below: NonNegative  # moving-average count under which a code is drawn anew
    first_weights: Literal["components", "random"]  # of the network: motion's main components pass through
    start: Literal["kmeans", "rows"]  # first codebook: centres, or rows of the first batch
    gradient: Literal["straight_through", "rotation"]  # how the encoder learns through the codes
    compatible: bool  # repeat the published training's known faults, see docs/tokenizers.md
    precision: Literal["fp32", "bf16", "fp16"]
    checkpoint_every: PositiveInt  # steps
    checkpoints: TokenizerCheckpoints


class PackParams(Section):
    shards: PositiveInt
    dtype: StoredFloat


class ModelParams(Section):
    """Sizes of the audio-to-gesture model."""

    predicts: Literal["codes", "latents"]  # code distributions, or the latents themselves (a latent flow)
    noise: Literal["white", "shaped"]  # that the flow starts from; shaped: with motion's own second moments
    fusion_width: PositiveInt
    fusion_layers: PositiveInt
    fusion_heads: PositiveInt
    fusion_gate: bool
    context_layers: NonNegativeInt  # temporal convolutions after the fusion's gate
    audio_frames_per_token: Literal[1, 2, 4]  # frames that one token of the audio stream holds
    text_width: NonNegativeInt  # 0: no text stream; words aren't read, and nothing is spent on them
    audio_width: PositiveInt
    gesture_width: PositiveInt
    context_reads_gesture: bool  # false: audio and words run once for all flow steps, unaware of the gesture
    layers: PositiveInt
    heads: PositiveInt
    head_dim: PositiveInt
    mlp_ratio: Positive
    residual_streams: PositiveInt
    condition_width: PositiveInt  # flow time and speaker
    head_width: PositiveInt  # hidden width of the code head, a part
    dropout: Share


class LossParams(Section):
    codes: NonNegative
    reconstruction: NonNegative
    velocity: NonNegative
    side: NonNegative  # jaw and eyes


class TrainParams(Section):
    """How the audio-to-gesture model is trained."""

    seed: NonNegativeInt
    shards: list[NonNegativeInt] | Literal["all"]  # of the pack; others need not be on this machine
    window_frames: PositiveInt
    stride_frames: PositiveInt  # between the starts of neighbouring windows; a multiple of 4
    prefix_frames: NonNegativeInt  # longest clean past that the model learns to continue
    prefix_share: Share  # share of the samples that continue a past
    prefix_noise: NonNegative  # largest deviation of the noise on that past, in deviations of the motion
    noise_share: (
        Share  # share of the samples at flow time 0, where only audio, text and past can tell anything
    )
    time_shift: Positive  # above 1: more of the training near the noise, see `omniges.sampling.flow.shifted`
    batch_per_process: PositiveInt
    accumulate: PositiveInt
    epochs: PositiveInt
    max_steps: PositiveInt | None
    lr: Positive
    weight_decay: NonNegative
    warmup_steps: NonNegativeInt
    clip_norm: Positive
    ema_decay: Share
    precision: Literal["no", "bf16", "fp16"]
    compile: bool  # blocks of the model by torch.compile, minutes at first; wants a C++ compiler
    drop_audio: Share
    drop_text: Share
    drop_speaker: Share
    workers: NonNegativeInt
    validate_every: PositiveInt  # steps
    validate_windows: PositiveInt  # of the val split, the same ones each time
    checkpoint_every: PositiveInt  # steps
    log_every: PositiveInt  # steps
    loss: LossParams


class SamplingParams(Section):
    """How motion is drawn from the model."""

    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)]  # a take each; baselines have one
    steps: Annotated[int, Field(ge=1, le=50)]
    time_shift: Positive  # of the steps; with white noise as in training
    solver: Literal["euler", "heun"]
    first_step: Literal["mean", "drawn"]  # of several: decodes mean codes, or drawn ones (euler)
    audio_guidance: NonNegative  # 1: none
    text_guidance: NonNegative  # 1: none
    sampled_levels: NonNegativeInt  # coarsest quantizers drawn at the end; finer ones give their mean
    temperature: NonNegative  # 0: the most probable code
    coherence_s: NonNegative  # for how long the choice of codes holds on; 0 draws each token's anew
    softness: NonNegative  # 0 draws one code; above, nearly as fit ones mix in
    top_p: Annotated[float, Field(gt=0, le=1)]
    window_frames: PositiveInt
    overlap_frames: PositiveInt  # of the model's own past that each window continues
    lookahead_frames: (
        NonNegativeInt  # at a window's end that are drawn again by the next one, which hears further
    )
    batch_clips: PositiveInt  # clips side by side
    precision: Literal["fp32", "bf16"]  # of the way from noise to gesture; bf16 wants a processor that has it

    @model_validator(mode="after")
    def _a_step_draws_once(self) -> "SamplingParams":
        if self.solver == "heun" and self.first_step == "drawn":
            raise ValueError("first_step: drawn needs solver: euler, since heun asks twice a step")
        return self


class EmbedderParams(Section):
    """The network of FGD: a published file, or the same architecture trained on the train split."""

    weights: str | None
    seed: NonNegativeInt
    steps: PositiveInt
    batch: PositiveInt
    window_frames: PositiveInt
    lr: Positive


class ScorerParams(Section):
    """The contrastive audio-motion scorer."""

    seed: NonNegativeInt
    steps: PositiveInt
    batch: PositiveInt
    window_s: Positive
    width: PositiveInt
    lr: Positive


class RegressionParams(Section):
    """The plain regression among the baselines: a small convolution net from MFCC to motion."""

    seed: NonNegativeInt
    steps: PositiveInt
    batch: PositiveInt
    window_frames: PositiveInt
    width: PositiveInt
    dropout: Share
    lr: Positive


class LatentFlowParams(Section):
    """The baseline nearest to the model: its network and training, but a flow among latents, not codes."""

    train: bool  # false leaves it out: it costs a training as long as the model's
    steps: Annotated[int, Field(ge=1, le=50)]  # of its flow; all else is drawn as `sampling` says


class BaselinesParams(Section):
    """What the model is held against."""

    regression: RegressionParams
    latent_flow: LatentFlowParams


class EvaluateParams(Section):
    seed: NonNegativeInt
    bootstrap: PositiveInt  # resamples of clips behind every interval
    bootstrap_fgd: PositiveInt  # the same for FGD, where each costs milliseconds
    # fed to FGD's network at once; null: whole clips, as the field does
    context_frames: Annotated[int, Field(ge=16, multiple_of=16)] | None
    clean: list[Literal["drift", "limits", "feet"]]  # clean-up of the model's motion before it is scored
    render: bool
    num_samples: NonNegativeInt  # clips that get a video
    video_s: Positive  # longest video
    video_height: PositiveInt
    smplx_model: str | None  # a licensed SMPL-X file; null uses the project's own skeleton
    mean_velocity: str | None  # BEAT2's mean_vel_smplxflame_30.npy: the published protocol is scored as well


class TrackingParams(Section):
    trackers: list[Literal["mlflow", "tensorboard", "wandb"]]
    experiment: str
    log_model: bool  # a copy of the trained model goes to MLflow, to be loaded back by its URI


class Params(Section):
    """All of params.yaml."""

    @model_validator(mode="after")
    def _published_protocol_has_its_files(self) -> "Params":
        if self.evaluate.mean_velocity is not None:
            wanted = {
                "embedder.weights": self.embedder.weights is not None,
                "evaluate.smplx_model": self.evaluate.smplx_model is not None,
                "data.fps: 30": self.data.fps == 30,
            }
            missing = ", ".join(name for name, there in wanted.items() if not there)
            if missing:
                raise ValueError(f"evaluate.mean_velocity: the published protocol also needs {missing}")
        return self

    corpus: CorpusParams
    data: DataParams
    mfcc: MfccParams
    encoders: EncodersParams
    wavlm: WavlmParams
    text: TextParams
    tokenizers: TokenizersParams
    pack: PackParams
    model: ModelParams
    train: TrainParams
    sampling: SamplingParams
    baselines: BaselinesParams
    embedder: EmbedderParams
    scorer: ScorerParams
    evaluate: EvaluateParams
    tracking: TrackingParams


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check a parameter file.

    Raises:
        ConfigError: the file is missing, no YAML, or holds faults; all faults are listed, each with its path.
    """
    path = Path(path)
    try:
        # YAML 1.2: `1e-4` is a number and `no` is text, unlike PyYAML's 1.1.
        raw = YAML(typ="safe").load(io.StringIO(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}. Run from the repository's root, or name the file."
        ) from error
    except YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    return parse_params(raw, str(path))


def parse_params(raw: object, where: str = "params") -> Params:
    """Check an already loaded mapping; see `load_params`."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: got {type(raw).__name__}, wanted a mapping of sections.")
    try:
        return Params.model_validate(_plain(raw))
    except ValidationError as error:
        faults = [f"  {line}" for line in _fault_lines(error)]
        raise ConfigError(f"{where}: {len(faults)} fault(s):\n" + "\n".join(faults)) from error


def _plain(raw: Any) -> Any:
    """Copy ruamel's mappings to dicts, since strict pydantic takes nothing else."""
    return {key: _plain(value) for key, value in raw.items()} if isinstance(raw, Mapping) else raw


def _fault_lines(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        location = [str(part) for part in fault["loc"]]
        path = ".".join(location)
        if not location:
            yield str(fault.get("ctx", {}).get("error", fault["msg"]))
        elif fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(location[-1], _keys_at(location[:-1]), n=1, cutoff=0.5)
            hint = f"; did you mean {'.'.join([*location[:-1], near[0]])}?" if near else ""
            yield f"{path}: unknown key{hint}"
        elif fault["type"] == "missing":
            yield f"{path}: missing; every key must be written, see the shipped params.yaml"
        elif fault["type"] == "literal_error":
            expected = fault["ctx"]["expected"]
            near = difflib.get_close_matches(
                str(fault["input"]), expected.replace("'", "").replace(" or ", ", ").split(", "), n=1
            )
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"{path}: got {fault['input']!r}, wanted {expected}{hint}"
        else:
            yield f"{path}: got {fault['input']!r}: {fault['msg']}"


def _keys_at(location: list[str]) -> list[str]:
    model: Any = Params
    for part in location:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:
            return []
        model = field.annotation
    return list(model.model_fields) if hasattr(model, "model_fields") else []
