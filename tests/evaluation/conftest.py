"""The world that evaluation's tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from evaluation_world import World, build_world, generate, generate_latent_flow


@pytest.fixture(scope="session")
def made_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """The world, made once, and its folder."""
    folder = tmp_path_factory.mktemp("world")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = build_world()
        for seed in (0, 1):
            generate(made, seed, 0.8)
        generate_latent_flow(made, 0.5)
    return made, folder


@pytest.fixture(scope="module")
def world(made_world: tuple[World, Path]) -> Iterator[World]:
    """The world, with its folder as the working folder until the file's last test."""
    made, folder = made_world
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield made
