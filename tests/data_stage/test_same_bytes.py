"""Equal inputs give equal bytes, however many processes share the work: DVC's hashes rest on that."""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import pytest
from trees import make_tree, params_for, write_features, write_statistics

from omniges.config import Params
from omniges.data import extract, extract_audio, ingest, pack
from omniges.data.clips import read_clips
from omniges.files import sha256_tree
from omniges.workspace import Workspace

FEATURES = ("motion", "mfcc")


def make_features(params: Params, clips: Sequence[str]) -> None:
    """What one job does with its clips."""
    W = Workspace.of(params)
    assert extract.motion(params, W, clips) == []
    assert extract_audio.mfcc(params, W, clips) == []


def test_tables_and_packs_do_not_depend_on_who_made_them(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {}
    for workers in (1, 3):
        params = params_for(make_tree(workplace / f"raw{workers}"), name=f"by{workers}", pack={"shards": 2})
        W = Workspace.of(params)
        ingest.run(params, W)
        write_features(W)  # wavlm, text and codes are stand-ins
        write_statistics(W)
        clips = [clip.id for clip in read_clips(W)]
        if workers == 1:
            make_features(params, clips)
        else:
            monkeypatch.setenv("PYTHONHASHSEED", "77")  # sets have another order there
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                jobs = [(params, clips[::-1][number::workers]) for number in range(workers)]
                pool.starmap(make_features, jobs)
        pack.run(params, W)
        digests[workers] = {name: sha256_tree(W.feature(name)) for name in (*FEATURES, "pack")}
    assert digests[1] == digests[3]
