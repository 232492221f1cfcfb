"""Full disks, read-only folders and files cut short behind the pipeline's back."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox import CLIPS, make_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ALONE = {"OMNIGES_RECORD": "0"}


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """A mount as long as the block; skips the test where mounting is not permitted."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    with mounted(place, "--bind", str(place)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield


def filled(folder: Path, spare: int) -> Path:
    """A file that leaves this many bytes of the disk."""
    ballast = folder / "ballast"
    free = shutil.disk_usage(folder).free
    ballast.write_bytes(bytes(max(0, free - spare)))
    return ballast


def test_a_full_disk_costs_no_finished_work(tmp_path: Path) -> None:
    whole = make_sandbox(tmp_path / "whole")
    whole.snakemake(**ALONE)
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=32m", "none") as disk:
        box = make_sandbox(disk / "box")
        for spare in (96, 256, 400):
            ballast = filled(disk, spare << 10)
            failed = box.run("snakemake", "--cores", "2", check=False, **ALONE)
            assert failed.returncode, f"{spare} KiB were enough"
            ballast.unlink()
        ballast = filled(disk, 0)
        alone = box.run("omniges", "stage", "evaluate", check=False)
        ballast.unlink()
        assert alone.returncode
        assert "No space left" in alone.stderr + alone.stdout
        box.snakemake(**ALONE)
        assert box.outputs() == whole.outputs()


def test_a_read_only_store_is_said_and_a_read_only_cache_serves(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box", "hardlink")
    box.snakemake()
    box.set(mfcc__hop_s=0.02)
    with read_only(box.root / ".omniges" / "store"):
        failed = box.run("omniges", "stage", "mfcc", "--shard", "0", check=False)
        assert failed.returncode
        assert "make it writable, then run again" in " ".join((failed.stdout + failed.stderr).split())
    assert box.snakemake("mfcc", **ALONE)["mfcc"] == set(CLIPS)
    box.set(mfcc__hop_s=0.01)
    box.forget()
    with read_only(box.root / ".dvc" / "cache"):
        assert box.snakemake(**ALONE) == {}  # what was committed comes from there


def test_files_cut_short_are_noticed_wherever_they_lie(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    box.snakemake(**ALONE)
    whole = box.outputs()
    rng = random.Random(6)
    for place, count in (("data", 6), ("models", 4), ("reports", 3), (".omniges", 12)):
        names = ("raw", "run", "units", "lock")  # what users own, and what is empty
        files = [p for p in sorted((box.root / place).rglob("*")) if p.is_file() and p.stat().st_size]
        files = [p for p in files if not {*names} & {*p.parts}]
        for path in rng.sample(files, count):
            path.chmod(0o644)
            with path.open("r+b") as stream:  # in place: the store's object, a link to it, is cut as well
                stream.truncate(path.stat().st_size // 2)
    box.snakemake(**ALONE)
    assert box.outputs() == whole
    assert box.snakemake(**ALONE) == {}
