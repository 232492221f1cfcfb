"""Training: it learns, it resumes exactly, it stops with a reason; statistics, losses and windows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from tokenizer_toys import moving, normal, with_tokenizers

from omniges.config import Params
from omniges.errors import ConfigError, TrainingError
from omniges.motion.features import motion_to_features
from omniges.motion.layout import PARTS
from omniges.motion.rotations import matrix_to_rot6d
from omniges.tokenizers import statistics as normalisation
from omniges.tokenizers.losses import LossWeights, ReconstructionLoss
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of
from omniges.tokenizers.training import Trainer, averages_of, lr_share
from omniges.tokenizers.windows import TrainFrames

Clips = list[tuple[str, np.ndarray]]


def clips_of(part: str, n: int = 2, n_frames: int = 200) -> Clips:
    channels = PARTS[part].channels
    return [
        (f"1_made_0_{i}_{i}", motion_to_features(moving(n_frames, i)).values[:, channels]) for i in range(n)
    ]


def trainer_of(params: Params, part: str = "lower_trans", clips: Clips | None = None) -> Trainer:
    clips = clips_of(part) if clips is None else clips
    statistics = normalisation.measure(part, (values for _, values in clips))
    data = TrainFrames.of(part, clips, statistics, params.tokenizers.window_frames)
    torch.manual_seed(params.tokenizers.seed)
    return Trainer(part, RVQVAE(config_of(params, part)), data, statistics, params.tokenizers)


def same_state(one: Trainer, other: Trainer) -> None:
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name
    for name, value in averages_of(one.model).items():
        assert torch.equal(value, averages_of(other.model)[name]), name


def test_a_stopped_training_ends_where_an_unbroken_one_does(params: Params, tmp_path: Path):
    params = with_tokenizers(
        params, dropout=0.1, temperature=0.5, dead_below=1.5
    )  # all that draws random numbers
    whole, first = trainer_of(params), trainer_of(params)
    whole.run()
    state = tmp_path / "state.pt"
    first.run(state, stop_after=17)
    second = trainer_of(params)
    second.run(state)
    same_state(whole, second)
    assert [point.step for point in second.history] == [10, 20, 30]
    assert second.history == whole.history  # steps before the stop count in the point after it


def test_a_state_of_other_parameters_is_refused(params: Params, tmp_path: Path):
    state = tmp_path / "state.pt"
    trainer_of(params).run(state, stop_after=2)
    with pytest.raises(TrainingError, match="other parameters"):
        trainer_of(with_tokenizers(params, lr=0.1)).run(state)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compatible": True, "start": "rows", "temperature": 0.5},
        {"gradient": "rotation"},
        {"precision": "bf16"},
        {"acceleration": 0.5, "geodesic": 0.0, "joints": 0.0},
        {"path": 5.0, "contact": 20.0},
    ],
)
def test_every_recipe_learns(params: Params, changes: dict[str, object]):
    # From random weights, since principal components leave little of this motion to learn.
    sizes = {"steps": 160, "lr_milestones": [140], "lr": 6e-3, "width": 32, "first_weights": "random"}
    weights = {"commitment": 0.02, "velocity": 0.5, "acceleration": 0.0, "joints": 5.0}
    trainer = trainer_of(with_tokenizers(params, **(sizes | weights | changes)))
    trainer.run()
    first, last = trainer.history[0].values, trainer.history[-1].values
    assert last["reconstruction"] < 0.8 * first["reconstruction"]
    assert not trainer.model.training


def test_a_loss_that_is_no_number_names_step_and_clips(params: Params):
    clips = clips_of("lower_trans")
    trainer = trainer_of(params, clips=clips)
    trainer.data.frames[250:] = torch.nan  # in the second clip only
    with pytest.raises(TrainingError, match=r"loss is nan at step \d+; clips of that batch:.*1_made_0_1_1"):
        trainer.run()


def test_half_precision_needs_a_gpu(params: Params):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        trainer_of(with_tokenizers(params, precision="fp16"))


def test_learning_rate_warms_up_and_steps_down(params: Params):
    section = with_tokenizers(params, warmup_steps=4, lr_milestones=[10, 20], lr_gamma=0.1).tokenizers
    shares = [lr_share(step, section) for step in (0, 1, 3, 4, 9, 10, 19, 20)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 1, 1, 1, 0.1, 0.1, 0.01])


def test_statistics_are_numpys_with_a_floor():
    clips = [values for _, values in clips_of("lower_trans", n=3)]
    got = normalisation.measure("lower_trans", clips)
    frames = np.concatenate(clips).astype(np.float64)
    np.testing.assert_allclose(got.mean, frames.mean(axis=0), atol=1e-6)
    want = np.maximum(frames.std(axis=0), [*[1e-3] * 54, *[1e-4] * 3])
    np.testing.assert_allclose(got.std, want, rtol=1e-4)
    still = normalisation.measure("lower_trans", [np.full((5, 57), 1000.0)])
    np.testing.assert_allclose(still.std[[0, 53, 54, 56]], [1e-3, 1e-3, 1e-4, 1e-4])


def test_an_empty_train_split_and_short_clips_are_named(params: Params):
    with pytest.raises(TrainingError, match="train split is empty"):
        normalisation.measure("face", [])
    with pytest.raises(TrainingError, match=r"no train clip has 32 frames \(longest of 2: 20\)"):
        trainer_of(params, clips=clips_of("lower_trans", n_frames=20))


def test_windows_lie_inside_clips_and_follow_their_seed():
    part, lengths = "face", (40, 10, 35)
    clips = [(f"clip{i}", np.full((n, 100), float(i), np.float32)) for i, n in enumerate(lengths)]
    unit = normalisation.Statistics(np.zeros(100, np.float32), np.ones(100, np.float32))
    data = TrainFrames.of(part, clips, unit, window=32)
    assert len(data.starts) == (40 - 31) + (35 - 31)
    batch = data.batch(200, seed=1)
    owners = batch[:, :, 0].unique(dim=1)
    assert owners.shape == (200, 1)  # no window crosses clips, the short one is never drawn
    assert data.clips_of(200, seed=1) == ["clip0", "clip2"]
    assert torch.equal(batch, data.batch(200, seed=1))
    assert not torch.equal(batch, data.batch(200, seed=2))


def unit_loss(part: str, **weights: float) -> ReconstructionLoss:
    width = PARTS[part].width
    chosen = {
        "commitment": 0.0,
        "velocity": 0.0,
        "acceleration": 0.0,
        "geodesic": 0.0,
        "joints": 0.0,
        "path": 0.0,
        "contact": 0.0,
        **weights,
    }
    return ReconstructionLoss(part, LossWeights(**chosen), torch.zeros(width), torch.ones(width))


def test_channel_losses_are_smooth_l1_of_differences():
    found, wanted = normal(2, 6, 100), normal(2, 6, 100, seed=1)

    def smooth(x: np.ndarray) -> float:
        return float(np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5).mean())

    gap = (found - wanted).numpy()
    loss = unit_loss("face", commitment=0.02, velocity=0.5, acceleration=0.25)(
        found, wanted, torch.tensor(3.0)
    )
    want = smooth(gap) + 0.06 + 0.5 * smooth(np.diff(gap, axis=1)) + 0.25 * smooth(np.diff(gap, n=2, axis=1))
    assert loss["loss"].item() == pytest.approx(want, rel=1e-5)


def test_a_rotation_alone_costs_its_squared_chord_and_the_distance_it_moves_joints():
    rest = matrix_to_rot6d(torch.eye(3).expand(1, 4, 30, 3, 3)).clone()
    turned, angle = rest.clone(), 0.3
    finger = PARTS["hands"].joints.index(25)  # the left index finger's first joint
    turned[:, :, finger] = matrix_to_rot6d(
        torch.from_numpy(Rotation.from_rotvec([0, 0, angle]).as_matrix()).float()
    )
    terms = unit_loss("hands", geodesic=1.0, joints=1.0)(
        turned.flatten(2), rest.flatten(2), torch.tensor(0.0)
    )
    assert terms["geodesic"].item() == pytest.approx(8 * np.sin(angle / 2) ** 2 / 30, rel=1e-4)
    first, second = 0.034, 0.034 + 0.023  # the turned bones of omniges.motion.skeleton, nearly along x
    want = 2 * np.sin(angle / 2) * (first + second) / 20
    assert terms["joints"].item() == pytest.approx(want, rel=1e-2)


def standing(frames: int) -> torch.Tensor:
    """[1, T, 57] a body at rest that stays where it is."""
    still = torch.zeros(1, frames, 57)
    still[..., :54] = matrix_to_rot6d(torch.eye(3).expand(1, frames, 9, 3, 3)).flatten(2)
    return still


def test_the_path_error_is_the_distance_that_steps_add_up_to():
    wanted, found = standing(4), standing(4)
    found[0, :, 54], found[0, :, 56] = 0.003, torch.tensor([0.004, 0.004, 0.004, -0.012])
    found[0, :, 55] = 9.0  # the height is no step
    terms = unit_loss("lower_trans", path=2.0)(found, wanted, torch.tensor(0.0))
    places = [(0.003, 0.004), (0.006, 0.008), (0.009, 0.012), (0.012, 0.0)]
    want = np.mean([np.hypot(*place) for place in places])
    assert terms["path"].item() == pytest.approx(want, rel=1e-5)
    plain = unit_loss("lower_trans")(found, wanted, torch.tensor(0.0))
    assert (terms["loss"] - plain["loss"]).item() == pytest.approx(2 * want, rel=1e-4)


def test_contact_looks_at_standing_feet_only():
    wanted, found = standing(9), standing(9)
    found[0, :, 54] = 0.002  # slides 2 mm a frame along x
    found[0, :, 55] = torch.arange(9) * 0.001  # and rises 1 mm
    loss = unit_loss("lower_trans", contact=1.0)
    assert loss(found, wanted, torch.tensor(0.0))["contact"].item() == pytest.approx(5**0.5 * 1e-3, rel=1e-4)
    walking = wanted.clone()
    walking[0, 5, 56] = 0.02  # all feet move 2 cm into frame 5, which phase 4 sees
    moves = [loss(found, walking, torch.tensor(0.0), phase)["contact"].item() for phase in (3, 4)]
    assert moves == pytest.approx([5**0.5 * 1e-3, 0])
    turned = standing(9)
    turn = Rotation.from_rotvec([[0.01 * i, 0, 0] for i in range(9)]).as_matrix()
    turned[0, :, 6 * PARTS["lower_trans"].joints.index(4) :][:, :6] = matrix_to_rot6d(
        torch.from_numpy(turn).float()
    )  # the left knee bends: left ankle and foot move, the right ones stand
    moved = loss(turned, wanted, torch.tensor(0.0))["contact"].item()
    ankle, foot = (np.linalg.norm(np.array(bone)[1:]) for bone in ((0, -0.40, -0.03), (0, -0.46, 0.09)))
    assert moved == pytest.approx(2 * np.sin(0.005) * (ankle + foot) / 4, rel=1e-3)


@pytest.mark.parametrize("part", ["hands", "face"])
def test_only_the_lower_body_walks(part: str):
    values = normal(2, 8, PARTS[part].width)
    terms = unit_loss(part, geodesic=1.0, joints=1.0, path=1.0, contact=1.0)(
        values, values + 1, torch.tensor(0.0)
    )
    posed = {"geodesic", "joints"} if part == "hands" else set()
    assert set(terms) == {"loss", "reconstruction", "commitment"} | posed


def test_the_network_is_built_from_the_parameters(params: Params):
    built: Callable[..., object] = config_of
    config = built(params, "hands")
    assert (config.channels, config.width, config.quantizer.codes) == (180, 16, 16)  # type: ignore[attr-defined]
