"""What changes a key, and what must not."""

from pathlib import Path

import pytest

from omniges.errors import PipelineError
from omniges.pipeline.hashes import Hashes, tree_md5
from omniges.pipeline.keys import code_hashes, named_files

STAGE = """
from omniges.errors import E
from . import near

def run():
    from omniges.b import deep
    return deep.x
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {
        "omniges/__init__.py": "",
        "omniges/errors.py": "class E(Exception): ...\n",
        "omniges/a/__init__.py": "",
        "omniges/a/table.json": "{}",
        "omniges/a/stage.py": STAGE,
        "omniges/a/near.py": "y = 1\n",
        "omniges/a/stranger.py": "z = 1\n",
        "omniges/b/__init__.py": "",
        "omniges/b/deep.py": "x = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def hashes_of(package: Path) -> dict[str, str]:
    return code_hashes("omniges.a.stage:run", package, Hashes(package / "h"))


def test_imports_are_followed_into_functions_and_relative_ones_too(package: Path) -> None:
    found = hashes_of(package)
    assert {"omniges.a.stage", "omniges.a.near", "omniges.b.deep", "omniges/a/table.json"} <= set(found)
    assert not {"omniges.errors", "omniges.a.stranger"} & set(found)


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("omniges/b/deep.py", "x = 2\n", True),
        ("omniges/a/table.json", "[]", True),
        ("omniges/b/deep.py", '"""About x."""\n\n# a comment\nx    = 1\n', False),
        ("omniges/a/stranger.py", "z = 2\n", False),
        ("omniges/errors.py", "class E(ValueError): ...\n", False),
    ],
)
def test_only_code_that_can_matter_changes_the_hashes(
    package: Path, name: str, text: str, changes: bool
) -> None:
    before = hashes_of(package)
    (package / name).write_text(text)
    assert (hashes_of(package) != before) is changes


def test_compiled_functions_kept_beside_the_sources_do_not_count(package: Path) -> None:
    before = hashes_of(package)
    (package / "omniges/a/__pycache__").mkdir()
    (package / "omniges/a/__pycache__/near.draw-1.py311.nbi").write_text("compiled")
    assert hashes_of(package) == before


def test_a_function_body_of_nothing_but_a_docstring_is_still_hashed(package: Path) -> None:
    (package / "omniges/b/deep.py").write_text('def f():\n    """One."""\n')
    before = hashes_of(package)
    (package / "omniges/b/deep.py").write_text('def f():\n    """Two."""\n')
    assert hashes_of(package) == before


def test_broken_source_names_file_and_line(package: Path) -> None:
    (package / "omniges/b/deep.py").write_text("x = 1\ny = (\n")
    with pytest.raises(PipelineError, match=r"deep\.py:2"):
        hashes_of(package)


def test_a_checkpoint_folder_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "weights").write_bytes(b"one")
    values = {"wavlm": {"model": str(folder), "layer": -1, "other": "hub/name"}}
    before = named_files(values, Hashes(tmp_path / "h"))
    assert list(before) == [str(folder)]
    assert named_files(values, Hashes(tmp_path / "h"), but=str(folder)) == {}
    (folder / "weights").write_bytes(b"two!")
    assert named_files(values, Hashes(tmp_path / "h")) != before


def test_hashes_are_remembered_by_inode_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    monkeypatch.setattr("omniges.pipeline.hashes._SETTLED_S", 0.0)
    first = Hashes(tmp_path / "h")
    assert first.md5(path) == "9a0364b9e99bb480dd25e1f0284c8555"  # md5sum's answer
    first.save("job")
    monkeypatch.setattr("hashlib.file_digest", None)  # a second read would fail
    again = Hashes(tmp_path / "h")
    path.rename(tmp_path / "moved")
    assert again.md5(tmp_path / "moved") == "9a0364b9e99bb480dd25e1f0284c8555"
    again.merge()
    assert [p.name for p in (tmp_path / "h").iterdir()] == ["main.json"]


def test_tree_digest_knows_names_and_contents_but_no_caches(tmp_path: Path) -> None:
    hashes = Hashes(tmp_path / "h")
    tree = tmp_path / "tree"
    (tree / "__pycache__").mkdir(parents=True)
    (tree / "a").write_text("1")
    before = tree_md5(tree, hashes)
    (tree / "__pycache__" / "x.pyc").write_text("x")
    assert tree_md5(tree, hashes) == before
    (tree / "a").rename(tree / "b")
    assert tree_md5(tree, hashes) != before


def test_hashes_that_another_job_is_writing_are_neither_read_nor_dropped(tmp_path: Path) -> None:
    half = tmp_path / "state" / ".other.x1y2z3.json"
    half.parent.mkdir()
    half.write_text('{"1-2-3')
    Hashes(half.parent).merge()
    assert half.read_text() == '{"1-2-3'
