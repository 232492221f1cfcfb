"""The latent flow among the baselines: where it lies, what decides its motion, and that it is a model too."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import typer
from typer.testing import CliRunner

from omniges.api.models import find_model
from omniges.cli.generate import generate
from omniges.cli.planning import load_graph
from omniges.config import load_params
from omniges.data.beat2 import read_motion
from omniges.errors import CheckpointError
from omniges.files import read_json
from omniges.sampling import latent_flow as sampled
from omniges.sampling.generate import generate_clips
from omniges.sampling.speech import Speech
from omniges.sampling.stage import load_networks, write
from omniges.training import latent_flow as trained
from omniges.training import stage as training
from omniges.workspace import Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml")


def changed(params, section, **values):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def test_it_is_trained_as_the_model_is_into_a_folder_of_its_own(params, monkeypatch):
    calls = []
    monkeypatch.setattr(training, "run", lambda *arguments: calls.append(arguments))
    trained.run(params, Workspace.of(params))
    ((got, W),) = calls
    assert got == changed(params, "model", predicts="latents") != params
    monkeypatch.chdir(ROOT)
    graph = load_graph(params)
    for each in (Workspace.of(params), W):  # unfinished state lies in a folder named like the unit
        assert graph[each.training].outs == (each.a2g.as_posix(),)
        assert training.state_folder(each).parent == each.unfinished / each.training
    assert graph["latent_generate"].outs == (W.generated.as_posix(),)


@pytest.fixture
def workspace(model_folder, tmp_path, monkeypatch):
    """The models, two test clips of 3 and 5 s, and room for what is generated."""
    monkeypatch.chdir(tmp_path)
    W = Workspace(name="toy", raw=tmp_path / "raw")
    (tmp_path / "models").mkdir()
    W.models.symlink_to(model_folder)
    generator = torch.Generator().manual_seed(0)
    speeches = [
        Speech(
            clip=f"clip{frames}",
            wavlm=torch.randn(frames, 768, generator=generator),
            mfcc=torch.randn(frames, 128, generator=generator),
            text=torch.zeros(0, 1024),
            text_span_s=torch.zeros(0, 2),
            speaker=0,
        )
        for frames in (90, 150)
    ]
    monkeypatch.setattr(sampled, "read_speeches", lambda *_: speeches)
    return W, speeches


def test_its_motion_is_its_own_networks_under_the_first_seed_and_nothing_of_codes_decides_it(
    workspace, params, tmp_path
):
    W, speeches = workspace
    params = changed(params, "sampling", seeds=[5, 6])
    sampled.run(params, W)
    made = W.latent_flow.generated
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    assert sorted(before) == ["clip150.npz", "clip90.npz", "generation.json"]
    options = params.sampling.model_copy(update={"steps": 4, "sampled_levels": 0})
    for result in generate_clips(*load_networks(W.latent_flow, options), speeches, 5, options):
        write(tmp_path / "alone.npz", result, 30.0)
        np.testing.assert_array_equal(
            read_motion(tmp_path / "alone.npz").poses, read_motion(made / f"{result.clip}.npz").poses
        )

    other = {
        "first_step": "drawn",
        "sampled_levels": 2,
        "temperature": 0.3,
        "coherence_s": 0.0,
        "softness": 0.0,
        "top_p": 0.5,
    }
    assert other.keys() == set(sampled.OF_CODES)
    sampled.run(changed(params, "sampling", steps=9, seeds=[5], **other), W)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert read_json(made / "generation.json")["sampling"]["steps"] == 4

    fewer = params.baselines.latent_flow.model_copy(update={"steps": 1})
    sampled.run(changed(params, "baselines", latent_flow=fewer), W)
    assert (made / "clip90.npz").read_bytes() != before["clip90.npz"]


def test_its_checkpoint_generates_from_a_recording_like_any(model_folder, tone, tmp_path):
    sf.write(tmp_path / "speech.wav", tone, 16_000)
    app, poses = typer.Typer(), []
    app.command()(generate)
    for model in (model_folder, model_folder / "a2g", model_folder / "latent_flow"):
        out = tmp_path / model.name
        call = [str(tmp_path / "speech.wav"), "-o", str(out), "--model", str(model), "-f", "npz"]
        result = CliRunner().invoke(app, [*call, "--seed", "3"])
        assert result.exit_code == 0, result.output
        poses.append(read_motion(out / "speech" / "seed3.npz").poses)
    np.testing.assert_array_equal(poses[0], poses[1])
    assert np.abs(poses[0] - poses[2]).max() > 0.01


def test_a_checkpoint_with_nothing_beside_it_is_refused(model_folder, tmp_path):
    alone = tmp_path / "latent_flow"
    alone.symlink_to(model_folder / "latent_flow")
    with pytest.raises(
        CheckpointError, match="got no encoders, tokenizers; wanted a folder with latent_flow"
    ):
        find_model(alone)
