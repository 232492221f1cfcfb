"""Published files: in, out, and refused with the reason."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from omniges.cli.tokenizer import tokenizer as command
from omniges.config import Params
from omniges.errors import CheckpointError, ConfigError
from omniges.tokenizers import published
from omniges.tokenizers.checkpoints import read_part
from omniges.tokenizers.rvqvae import RVQVAE

BIAS = "encoder.model.4.bias"


@pytest.fixture
def pth(tiny: Callable[..., RVQVAE], tmp_path: Path) -> Path:
    path = tmp_path / "net_300000_upper.pth"
    published.write_published(path, tiny(channels=78))
    return path


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """The four published arrays, made up."""
    rng, folder = np.random.default_rng(0), tmp_path / "statistics"
    folder.mkdir()
    for name, width in (("330", 330), ("trans", 3)):
        np.save(folder / f"beatx_2_{name}_mean.npy", rng.normal(size=width))
        np.save(folder / f"beatx_2_{name}_std.npy", rng.uniform(0.1, 1, width))
    return folder


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    state = torch.load(path, weights_only=True)["net"]
    change(state)
    torch.save({"net": state}, path)
    return path


def test_sizes_are_read_from_the_file(pth: Path):
    config = published.load_published(pth, "upper").config
    assert (config.channels, config.width, config.depth) == (78, 16, 2)
    assert (config.quantizer.codes, config.quantizer.code_dim, config.quantizer.quantizers) == (16, 8, 3)


def test_there_and_back_gives_the_same_tensors(pth: Path, arrays: Path, tmp_path: Path):
    app = typer_app()
    folder, back = tmp_path / "upper", tmp_path / "back.pth"
    done = CliRunner().invoke(app, [str(pth), str(folder), "--part", "upper", "--statistics", str(arrays)])
    assert done.exit_code == 0, done.output
    assert "59 found, 0 missing, 0 other shape, 0 unexpected" in done.output
    assert CliRunner().invoke(app, [str(folder), str(back), "--part", "upper"]).exit_code == 0
    first, second = (torch.load(path, weights_only=True)["net"] for path in (pth, back))
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)
    _, checkpoint = read_part(folder, "upper")
    want = np.load(arrays / "beatx_2_330_mean.npy")[18:24].astype(np.float32)  # joint 3 comes first
    np.testing.assert_array_equal(checkpoint.statistics["mean"][:6].numpy(), want)


def typer_app():
    import typer

    app = typer.Typer()
    app.command()(command)
    return app


def test_the_real_reference_file_survives_conversion(shared: Path, beat2_sample: Path, tmp_path: Path):
    source = shared / "reference/rvq/net_small_upper.pth"
    arguments = [
        str(source),
        str(tmp_path / "upper"),
        "--part",
        "upper",
        "--statistics",
        str(beat2_sample / "stats"),
    ]
    done = CliRunner().invoke(typer_app(), arguments)
    assert "84 found, 0 missing" in done.output
    model, _ = read_part(tmp_path / "upper", "upper")
    v = np.load(shared / "reference/rvq/rvq_upper_small_vectors.npz")
    assert np.array_equal(model.encode(torch.from_numpy(v["x"])).numpy(), v["encode_code_idx"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop(BIAS), "encoder.model.4.bias: missing"),
        (
            lambda s: s.update({"decoder.model.7.weight": torch.zeros(2)}),
            "decoder.model.7.weight: unexpected",
        ),
        (
            lambda s: s.update({BIAS: torch.zeros(9)}),
            r"other shape \(found \(9,\), wanted \(8,\)",
        ),
        (lambda s: s.update({BIAS: torch.full((8,), torch.nan)}), "not finite"),
        (lambda s: s.pop("quantizer.layers.0.codebook"), "no RVQ-VAE"),
    ],
)
def test_files_that_do_not_fit_are_refused_tensor_by_tensor(
    pth: Path, change: Callable[..., object], reason: str
):
    with pytest.raises(CheckpointError, match=reason):
        published.load_published(rewritten(pth, change), "upper")


def test_another_parts_file_is_told_apart(pth: Path, tiny: Callable[..., RVQVAE]):
    with pytest.raises(CheckpointError, match="takes 78 channels, hands has 180; it is the file of upper"):
        published.load_published(pth, "hands")
    published.write_published(pth, tiny(channels=64))
    with pytest.raises(CheckpointError, match="no part has that width"):
        published.load_published(pth, "hands")


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_damaged_and_foreign_files_are_refused_unopened(pth: Path, tmp_path: Path):
    whole = pth.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no checkpoint"):
        pth.write_bytes(content)
        with pytest.raises(CheckpointError, match="can't be read"):
            published.load_published(pth, "upper")
    mark = tmp_path / "ran"
    torch.save({"net": {"encoder.model.0.weight": Trap(mark)}}, pth)
    with pytest.raises(CheckpointError, match="refused"):
        published.load_published(pth, "upper")
    assert not mark.exists()
    torch.save({"model": {}}, pth)
    with pytest.raises(CheckpointError, match=r"wanted \{'net': state_dict\}"):
        published.load_published(pth, "upper")
    with pytest.raises(CheckpointError):
        published.load_published(tmp_path / "absent.pth", "upper")


def with_files(params: Params, fps: int = 30, **files: Path | None) -> Params:
    named = {key: str(path) if path else None for key, path in files.items()}
    checkpoints = params.tokenizers.checkpoints.model_copy(update=named)
    section = params.tokenizers.model_copy(update={"checkpoints": checkpoints})
    data = params.data.model_copy(update={"fps": fps})
    return params.model_copy(update={"tokenizers": section, "data": data})


def four(arrays: Path) -> dict[str, Path]:
    return {
        "mean_pose": arrays / "beatx_2_330_mean.npy",
        "std_pose": arrays / "beatx_2_330_std.npy",
        "mean_trans": arrays / "beatx_2_trans_mean.npy",
        "std_trans": arrays / "beatx_2_trans_std.npy",
    }


def test_params_take_a_published_file_with_its_statistics(params: Params, pth: Path, arrays: Path):
    _, statistics, provenance = published.from_params(with_files(params, upper=pth, **four(arrays)), "upper")
    assert statistics.std.shape == (78,)
    assert provenance["published"] == pth.name
    with pytest.raises(ConfigError, match="mean_pose, std_pose, mean_trans, std_trans are null"):
        published.from_params(with_files(params, upper=pth), "upper")
    with pytest.raises(ConfigError, match=r"30 fps, data\.fps is 15"):
        published.from_params(with_files(params, fps=15, upper=pth, **four(arrays)), "upper")


def test_bad_statistics_are_refused(params: Params, pth: Path, arrays: Path):
    files = four(arrays)
    np.save(files["std_pose"], np.zeros(330))
    with pytest.raises(CheckpointError, match="not above zero"):
        published.from_params(with_files(params, upper=pth, **files), "upper")
    np.save(files["std_pose"], np.ones(165))
    with pytest.raises(CheckpointError, match=r"got shape \(165,\), wanted \(330,\)"):
        published.from_params(with_files(params, upper=pth, **files), "upper")


def test_the_face_is_not_normalised(tmp_path: Path):
    found = published.statistics_in("face", None)
    assert (found.mean == 0).all()
    assert (found.std == 1).all()
    with pytest.raises(CheckpointError, match="--statistics"):
        published.statistics_in("upper", None)
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    with pytest.raises(CheckpointError, match="got 0 files like"):
        published.statistics_in("upper", tmp_path)
