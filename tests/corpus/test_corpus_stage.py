import pytest

from omniges.corpus.stage import MANIFEST, run
from omniges.errors import ConfigError, DataError
from omniges.files import read_json, sha256_tree
from omniges.workspace import Workspace

WAVE = "wave16k/1_ada_0_1_1.wav"


@pytest.fixture
def made(params, tmp_path, monkeypatch):
    """Parameters, workspace and a tree of one speaker, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    params = change(params, speakers=1, clip_s=2.0)
    W = Workspace.of(params)
    run(params, W)
    return params, W


def change(params, **update):
    return params.model_copy(update={"corpus": params.corpus.model_copy(update=update)})


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_second_run_touches_nothing(made):
    params, W = made
    before = times(W.raw) | times(W.corpus_card)
    run(params, W)
    assert times(W.raw) | times(W.corpus_card) == before


def test_edited_clip_survives_and_a_deleted_one_comes_back(made):
    params, W = made
    text = W.raw / "textgrid" / "1_ada_0_2_2.TextGrid"
    lost = text.read_bytes()
    (W.raw / WAVE).write_bytes(b"my own recording")
    text.unlink()
    run(params, W)
    assert (W.raw / WAVE).read_bytes() == b"my own recording"
    assert text.read_bytes() == lost


def test_lost_card_is_made_again_the_same_though_a_clip_was_edited(made):
    params, W = made
    card = {path.name: path.read_bytes() for path in W.corpus_card.iterdir()}
    (W.raw / WAVE).write_bytes(b"my own recording")
    for path in list(W.corpus_card.iterdir()):
        path.unlink()
    run(params, W)
    assert {path.name: path.read_bytes() for path in W.corpus_card.iterdir()} == card
    assert (W.raw / WAVE).read_bytes() == b"my own recording"


def test_changed_parameters_regenerate_an_untouched_tree_and_back_again(made):
    params, W = made
    first = sha256_tree(W.raw)
    other = change(params, share=0.0, test_clips=2)
    run(other, W)
    assert sha256_tree(W.raw) != first
    assert (W.raw / "wave16k" / "1_ada_0_4_4.wav").exists()
    assert read_json(W.corpus_card / "card.json")["share"] == 0.0
    run(params, W)
    assert sha256_tree(W.raw) == first
    assert not (W.raw / "wave16k" / "1_ada_0_4_4.wav").exists()


@pytest.mark.parametrize("name", [WAVE, "wave16k/mine.wav"])
def test_changed_parameters_never_take_edited_or_added_files(made, name):
    params, W = made
    (W.raw / name).write_bytes(b"my own recording")
    with pytest.raises(DataError, match=name):
        run(change(params, share=0.5), W)
    assert (W.raw / name).read_bytes() == b"my own recording"


def test_foreign_folder_is_refused_and_left_alone(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    W = Workspace.of(params)
    W.raw.mkdir(parents=True)
    (W.raw / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"1 file.*make: false"):
        run(params, W)
    assert [path.name for path in W.raw.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("root", ["/data/beat2", "../beat2", "."])
def test_tree_outside_the_repository_is_refused(params, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = params.model_copy(update={"data": params.data.model_copy(update={"root": root})})
    with pytest.raises(ConfigError, match=r"data\.root"):
        run(elsewhere, Workspace.of(elsewhere))


def test_external_corpus_gets_a_card_without_a_ceiling(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs = change(params, make=False)
    W = Workspace.of(theirs)
    run(theirs, W)
    card = read_json(W.corpus_card / "card.json")
    assert card["made"] is False
    assert card["ceiling_r2"] is None
    assert "External" in (W.corpus_card / "card.md").read_text()
    assert not W.raw.exists()


def test_card_names_its_figures(made):
    _, W = made
    card = read_json(W.corpus_card / "card.json")
    assert set(card["ceiling_r2"]) == {"wrist_height", "wrist_speed", "head", "jaw", "expressions"}
    assert card["size"]["clips"] == {"train": 1, "val": 1, "test": 1}
    assert set(card["statistics"]["corpus"]) == set(card["statistics"]["real"])
    page = (W.corpus_card / "card.md").read_text()
    assert "wrist_speed_p95_m_s" in page
    assert set(read_json(W.raw / MANIFEST)["files"]) >= {WAVE, "train_test_split.csv"}
