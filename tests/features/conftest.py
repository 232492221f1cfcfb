import os
from pathlib import Path

import pytest
import torch

from omniges.config import Params, load_params
from omniges.features import stage
from omniges.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Path]:
    """The shipped parameters, and the folder that the stage `encoders` filled from them."""
    root = tmp_path_factory.mktemp("workspace")
    params = load_params(REPOSITORY / "params.yaml")
    before = Path.cwd()
    os.chdir(root)
    try:
        stage.encoders(params, Workspace.of(params))
    finally:
        os.chdir(before)
    return params, root / Workspace.of(params).encoders


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
