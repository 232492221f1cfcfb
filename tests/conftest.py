"""Fixtures that several packages' tests use."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference vectors beside the checkout; tests that need them are skipped where they are absent."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "reference").is_dir():
        pytest.skip("no reference vectors: ../shared/reference is absent")
    return folder


@pytest.fixture(scope="session")
def beat2_sample(shared: Path) -> Path:
    """A tree with real BEAT2 clips beside the checkout."""
    folder = shared / "beat2-sample"
    if not (folder / "smplxflame_30").is_dir():
        pytest.skip("no real clips: ../shared/beat2-sample is absent")
    return folder
