"""The pack against the tables that it was made from, and against itself across runs."""

import numpy as np
from safetensors.numpy import load_file

from omniges.config import Params
from omniges.data import pack
from omniges.data.motion_table import read_motion_features
from omniges.data.packed import read_clip
from omniges.data.table import read_table, read_text_table
from omniges.motion.layout import PARTS
from omniges.workspace import Workspace

CLIP = "1_ann_0_1_1"


def test_a_clip_comes_back_as_its_tables_hold_it(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    pack.run(params, W)
    got = read_clip(W.pack, CLIP)
    motion = read_motion_features(W.feature("motion") / f"{CLIP}.parquet")
    for name, part in PARTS.items():
        found = load_file(W.tokenizer(name) / "statistics.safetensors")
        want = (motion.values[:, part.channels] - found["mean"]) / found["std"]
        np.testing.assert_array_equal(got.gesture[:, part.gesture], want.astype(np.float16))
    np.testing.assert_array_equal(got.side, motion.side.astype(np.float16))
    for name in ("mfcc", "wavlm"):
        want = read_table(W.feature(name) / f"{CLIP}.parquet").values
        np.testing.assert_array_equal(getattr(got, name), want)
    codes = read_table(W.feature("codes") / f"{CLIP}.parquet").values
    np.testing.assert_array_equal(got.codes.reshape(25, 24), codes)
    text = read_text_table(W.feature("text") / f"{CLIP}.parquet")
    assert got.words == [word.text for word in text.words]
    assert got.text_span_s.tolist() == [[word.start_s, word.end_s] for word in text.words]
    np.testing.assert_array_equal(got.text, text.values)
    assert (got.split, got.speaker, got.fps, got.n_frames) == ("train", 1, 30, 100)
