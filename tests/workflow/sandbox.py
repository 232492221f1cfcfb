"""A copy of the workflow with toy stages: real graph, rules, keys and tools; stages that take no time."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COPIED = ("Snakefile", "workflow", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", "pyproject.toml")
REAL = ("pipeline", "cli", "data/clips.py", "data/__init__.py")
TRAIN_CLIP, TEST_CLIP = "1_ada_0_1_1", "2_ben_0_2_2"
CLIPS = {TRAIN_CLIP: "train", "1_ada_0_2_2": "val", "1_ada_0_3_3": "train", TEST_CLIP: "test"}

TOY = '''
"""A toy: what it writes is a digest of what it reads."""
import hashlib, os, time
from pathlib import Path
from omniges.data.clips import planned
from omniges.files import atomic_path, half_written
from omniges.types import ClipFault

CLIPS = {clips!r}

def _put(path, *parts):
    with atomic_path(path) as temporary:
        temporary.write_text(hashlib.sha256("|".join(parts).encode()).hexdigest() * 4)

def _tree(folder):
    rows = sorted(p for p in Path(folder).rglob("*") if p.is_file() and ".manifest" not in p.parts)
    return [f"{{p.relative_to(folder)}}={{p.read_bytes()!r}}" for p in rows]

def corpus(params, W):
    for clip in CLIPS:
        for kind in ("smplxflame_30/%s.npz", "wave16k/%s.wav", "textgrid/%s.TextGrid", "sem/%s.txt"):
            if not (W.raw / (kind % clip)).exists():
                for path in half_written(W.raw / (kind % clip)):
                    path.unlink()
                _put(W.raw / (kind % clip), clip, kind, str(params.corpus.seed))
    csv = "id,type\\n" + "".join(f"{{clip}},{{split}}\\n" for clip, split in CLIPS.items())
    if not (W.raw / "train_test_split.csv").exists():
        (W.raw / "train_test_split.csv").write_text(csv)
    _put(W.corpus_card / "card.json", str(params.corpus))

def ingest(params, W):
    _put(W.ingest / "clips.parquet", *(clip.id for clip in planned(params, W)))

def _per_clip(params, W, clips, name, kind, *extra):
    faults = []
    sources = {{clip.id: clip for clip in planned(params, W)}}
    for clip in clips:
        time.sleep(float(os.environ.get("TOY_SLEEP_S", "0")))
        source = getattr(sources[clip], kind).read_bytes()
        if source == b"bad":
            faults.append(ClipFault(clip=clip, problem="bad", remedy="mend it"))
        else:
            _put(W.feature(name) / f"{{clip}}.parquet", clip, source.hex(), *extra)
    return faults

def motion(params, W, clips):
    return _per_clip(params, W, clips, "motion", "npz", str(params.data.fps))

def mfcc(params, W, clips):
    return _per_clip(params, W, clips, "mfcc", "wav", str(params.mfcc))

def wavlm(params, W, clips):
    return _per_clip(params, W, clips, "wavlm", "wav", str(params.wavlm), *_tree(W.encoders / "wavlm"))

def text(params, W, clips):
    return _per_clip(params, W, clips, "text", "textgrid", str(params.text), *_tree(W.encoders / "text"))

def codes(params, W, clips):
    for clip in clips:
        moves = (W.feature("motion") / f"{{clip}}.parquet").read_text()
        _put(W.feature("codes") / f"{{clip}}.parquet", moves, *_tree(W.models / "tokenizers"))
    return []

def wavlm_encoder(params, W):
    _put(W.encoders / "wavlm" / "record.json", str(params.encoders), params.wavlm.model)

def text_encoder(params, W):
    _put(W.encoders / "text" / "record.json", str(params.encoders), params.text.model)

def train(params, W, part=None):
    time.sleep(float(os.environ.get("TOY_SLEEP_S", "0")))
    if part is None:
        salt = os.environ.get("TOY_TRAIN_SALT", "")
        _put(W.a2g / "model.safetensors", str(params.train), str(params.model), salt, *_tree(W.pack))
    else:
        ids = [c.id for c in planned(params, W) if c.split in ("train", "val")]
        _put(W.tokenizer(part) / "model.safetensors", str(params.tokenizers),
             *((W.feature("motion") / f"{{i}}.parquet").read_text() for i in ids))

def latent_train(params, W):
    _put(W.latent_flow.a2g / "model.safetensors", str(params.train), str(params.model), *_tree(W.pack))

def _whole(folder, *parts):
    _put(folder / "result.bin", *parts)

def pack(params, W):
    names = ("motion", "mfcc", "wavlm", "text", "codes")
    _whole(W.pack, *(row for name in names for row in _tree(W.feature(name))))

def generate(params, W):
    _whole(W.generated, str(params.sampling), *_tree(W.a2g), *_tree(W.pack))

def latent_generate(params, W):
    _whole(W.latent_flow.generated, str(params.sampling.seeds), *_tree(W.latent_flow.a2g), *_tree(W.pack))

def baselines(params, W):
    _whole(W.data / "baselines", *_tree(W.pack))

def embedder(params, W):
    _whole(W.embedder, str(params.embedder))

def scorer(params, W):
    _whole(W.scorer, str(params.scorer))

def evaluate(params, W):
    for name in ("report.json", "clips.parquet", "index.html"):
        _put(W.reports / name, str(params.evaluate), *_tree(W.generated), *_tree(W.latent_flow.generated))
    (W.reports / "metrics.json").write_text('{{"fgd": 1.5}}')
    _put(W.reports / "plots" / "a.svg", "a")
'''


@dataclass
class Sandbox:
    """The copy, and what has been computed in it."""

    root: Path
    seen: int = 0

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a tool of this environment inside the copy."""
        done = subprocess.run(
            [sys.executable, "-m", *command]
            if command[0] in ("dvc", "omniges")
            else [_tool(command[0]), *command[1:]],
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=2400,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")
        return done

    def environment(self, **changes: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.root), "DVC_NO_ANALYTICS": "1"} | changes

    def snakemake(self, *arguments: str, **environment: str) -> dict[str, set[str]]:
        """Run Snakemake; what was computed, by stage."""
        self.run("snakemake", "--quiet", "--cores", "2", *arguments, **environment)
        return self.computed()

    def repro(self, *arguments: str, **environment: str) -> dict[str, set[str]]:
        """Run `dvc repro`; what was computed, by stage."""
        self.run("dvc", "repro", "--quiet", *arguments, **environment)
        return self.computed()

    def tool(self, name: str) -> dict[str, set[str]]:
        return self.snakemake() if name == "snakemake" else self.repro()

    def computed(self) -> dict[str, set[str]]:
        """Stage → items that were really computed since the last call."""
        path = self.root / ".omniges" / "ran.jsonl"
        rows = path.read_text().splitlines() if path.exists() else []
        found: dict[str, set[str]] = {}
        for row in map(json.loads, rows[self.seen :]):
            found.setdefault(row["stage"], set()).update(row["items"])
        self.seen = len(rows)
        return found

    def forget(self) -> None:
        """Drop the pipeline's own records, as on a machine that has never run it."""
        shutil.rmtree(self.root / ".omniges", ignore_errors=True)
        shutil.rmtree(self.root / ".snakemake", ignore_errors=True)
        self.seen = 0

    def set(self, **changes: object) -> None:
        """Set parameters: `mfcc__hop_s=0.02`."""
        rows = [f"--set={name.replace('__', '.')}={json.dumps(value)}" for name, value in changes.items()]
        self.run("omniges", "params", *rows)

    def raw(self, clip: str, kind: str = "wave16k/%s.wav") -> Path:
        return self.root / "data" / "raw" / "demo" / (kind % clip)

    def commit(self) -> None:
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "state", "--allow-empty")

    def outputs(self) -> dict[str, bytes]:
        """All outputs, their manifests and the raw tree included."""
        folders = [self.root / "data", self.root / "models", self.root / "reports"]
        files = [p for f in folders for p in f.rglob("*") if p.is_file() and "logs" not in p.parts]
        return {p.relative_to(self.root).as_posix(): p.read_bytes() for p in files}


def make_sandbox(root: Path, cache: str = "copy") -> Sandbox:
    """Build the copy under `root`, with a git repository and DVC's cache type."""
    root.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    for folder in ("data", "models", "reports"):
        (root / folder).mkdir()
        (root / folder / ".gitkeep").touch()
    _package(root)
    box = Sandbox(root)
    git(root, "init", "-q")
    box.run("dvc", "config", "cache.type", cache)
    box.set(data__shards=2)
    box.commit()
    return box


def git(root: Path, *arguments: str) -> str:
    call = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(call, cwd=root, check=True, capture_output=True, text=True).stdout


def _package(root: Path) -> None:
    package = root / "omniges"
    package.mkdir()
    for path in (ROOT / "omniges").glob("*.py"):
        shutil.copy(path, package / path.name)
    for name in REAL:
        source, target = ROOT / "omniges" / name, package / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target, **_without_caches(source))
    for module in sorted(set(_stage_modules(root))):
        path = root / (module.replace(".", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(TOY.format(clips=CLIPS) + _entry_points(root, module))
    for dep in ("audio", "model", "motion", "rendering"):
        (package / dep).mkdir(exist_ok=True)
        (package / dep / "__init__.py").touch()


def _without_caches(source: Path) -> dict[str, object]:
    return {"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}


def _stages(root: Path) -> Iterator[tuple[str, str]]:
    graph = YAML(typ="safe").load((root / "dvc.yaml").read_text())
    for name, stage in graph["stages"].items():
        yield name, stage["meta"]["run"]


def _stage_modules(root: Path) -> Iterator[str]:
    for _, run in _stages(root):
        yield run.partition(":")[0]


def _entry_points(root: Path, module: str) -> str:
    """Where the table calls a stage's function `run`, point it at the toy of that stage's name."""
    names = [
        (stage, run.partition(":")[2]) for stage, run in _stages(root) if run.partition(":")[0] == module
    ]
    return "".join(f"{function} = {stage}\n" for stage, function in names if function == "run")


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)
