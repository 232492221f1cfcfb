"""The world that evaluation's tests share."""

from collections.abc import Iterator

import pytest
import torch
from evaluation_world import World, build_world, generate


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Made once, with its folder as the working folder until the last test that wants it."""
    folder = tmp_path_factory.mktemp("world")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = build_world()
        for seed in (0, 1):
            generate(made, seed, 0.8)
        yield made
