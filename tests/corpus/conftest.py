"""A corpus small enough for tests: two speakers, three clips of 6 s each."""

from pathlib import Path

import pytest

from omniges.config import CorpusParams, Params, load_params
from omniges.corpus.clips import Cast, cast

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def params() -> Params:
    shipped = load_params(ROOT / "params.yaml")
    small = {"speakers": 2, "train_clips": 1, "val_clips": 1, "test_clips": 1, "clip_s": 6.0, "share": 0.75}
    return shipped.model_copy(update={"corpus": shipped.corpus.model_copy(update={**small, "make": True})})


@pytest.fixture(scope="session")
def corpus_params(params: Params) -> CorpusParams:
    return params.corpus


@pytest.fixture(scope="session")
def whole(corpus_params: CorpusParams) -> Cast:
    return cast(corpus_params, 1)
