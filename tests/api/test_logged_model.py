"""A model that MLflow holds: loaded back by its URI, it moves as the folder it was logged from does."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from omniges import tracked, tracking
from omniges.api import Omniges
from omniges.cli import _build
from omniges.config import load_params
from omniges.errors import TrackingError
from omniges.workspace import Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def logged(model_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """The id of a run that holds the model."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("runs")
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'runs.db'}")
        params = load_params(ROOT / "params.yaml")
        with tracking.start_run(params, Workspace.of(params), "train") as run:
            run.log_model({name: model_folder / name for name in ("a2g", "encoders", "tokenizers")})
        yield run.id


@pytest.mark.filterwarnings("ignore")  # MLflow warns about its own future
def test_a_model_loaded_by_its_uri_generates_the_same_clip(logged, model_folder, tone, tmp_path):
    import mlflow
    import pandas as pd

    soundfile.write(tmp_path / "speech.wav", tone, 16000)
    want = Omniges.load(model_folder).generate(tmp_path / "speech.wav", seed=5).motion
    uri = f"runs:/{logged}/model"
    model = mlflow.pyfunc.load_model(uri)
    got = model.predict(pd.DataFrame({"audio": [str(tmp_path / "speech.wav")]}), params={"seed": 5})[0]
    np.testing.assert_array_equal(got["poses"], want.poses.reshape(want.n_frames, -1))
    np.testing.assert_array_equal(got["expressions"], want.expressions)
    mlflow.register_model(uri, "speaker")
    for place in (uri, "models:/speaker/1"):
        command = ["generate", str(tmp_path / "speech.wav"), "-o", str(tmp_path / place[:6]), "--seed", "5"]
        run = CliRunner().invoke(_build(), [*command, "--model", place, "-f", "npz"])
        assert run.exit_code == 0, run.output
        with np.load(tmp_path / place[:6] / "speech" / "seed5.npz") as made:
            np.testing.assert_allclose(made["poses"], got["poses"], atol=1e-6)


def test_a_model_that_is_not_there_is_named(logged):
    with pytest.raises(TrackingError, match="no such model"):
        tracked.fetch_model("runs:/" + "0" * 32 + "/model")
    with pytest.raises(TrackingError, match="neither a folder nor a run"):
        tracked.fetch("nobody", ("report.json",), Path())


def test_only_mlflow_uris_are_taken_for_such():
    assert tracked.is_model_uri("models:/m-1")
    assert not tracked.is_model_uri("models/demo")
