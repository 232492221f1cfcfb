"""`omniges doctor`: what this machine has, and what to do about what is missing."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from omniges.errors import OmnigesError

DISK_GB = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    state: Literal["ok", "optional", "missing"]  # `missing` stops the demo; `optional` stops nothing
    found: str
    remedy: str = ""


def doctor() -> None:
    """Look at Python, torch, encoders, data, models and disk; ends with 1 if something needed is missing."""
    findings = list(examine())
    marks = {"ok": "ok      ", "optional": "optional", "missing": "MISSING "}
    for finding in findings:
        typer.echo(f"{marks[finding.state]}  {finding.name:14} {finding.found}")
        if finding.remedy:
            typer.echo(f"{'':26}→ {finding.remedy}")
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """All findings; a check that fails unexpectedly is itself a finding."""
    for check in (_python, _torch, _video, _disk, _params, _encoders, _data, _models, _smplx, _extras):
        try:
            yield from check()
        except (ImportError, OSError, OmnigesError) as error:
            yield Finding(check.__name__.strip("_"), "missing", str(error), "Mend this first.")


def _python() -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = f"{platform.python_version()} on {sys.platform}, {os.cpu_count()} cores, {memory:.0f} GiB"
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding("python", "ok" if good else "missing", found, "" if good else "Use Python 3.11 to 3.13.")


def _torch() -> Iterator[Finding]:
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding(
        "torch",
        "ok" if devices else "optional",
        f"{torch.__version__} on {', '.join(devices) or 'the CPU'}",
        "" if devices else "Fine for the demo; full-size training wants a CUDA GPU.",
    )


def _video() -> Iterator[Finding]:
    import av

    lacking = [name for name in ("libx264", "aac") if name not in av.codecs_available]
    found = f"PyAV {av.__version__}" + (
        f" without {', '.join(lacking)}" if lacking else " with H.264 and AAC"
    )
    yield Finding(
        "video", "missing" if lacking else "ok", found, "Install the PyPI wheel of av." * bool(lacking)
    )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(".").free / 1e9
    good = free > DISK_GB
    yield Finding(
        "disk", "ok" if good else "missing", f"{free:.0f} GB free here", "" if good else "Free 5 GB."
    )


def _has_params() -> bool:
    """Outside a checkout nothing asks for a corpus; `omniges generate` and `view` work without."""
    return Path("params.yaml").is_file()


def _params() -> Iterator[Finding]:
    from omniges.config import load_params

    if not _has_params():
        remedy = "For the pipeline, run it in the repository's root; generate and view need none"
        yield Finding("params.yaml", "optional", "none in this folder", remedy)
        return
    params = load_params()
    yield Finding("params.yaml", "ok", f"corpus {params.data.name}, {params.data.fps} fps")


def _encoders() -> Iterator[Finding]:
    from omniges.config import load_params

    if not _has_params():
        return
    params = load_params()
    for name, model in (("wavlm", params.wavlm.model), ("text", params.text.model)):
        if model == "tiny":
            remedy = f"Real features: omniges download {name}"
            yield Finding(name, "optional", "tiny and untrained, made by the pipeline", remedy)
        elif Path(model).is_dir():
            yield Finding(name, "ok", model)
        else:
            cached = _hub_cache() / f"models--{model.split('@')[0].replace('/', '--')}"
            if cached.is_dir():
                yield Finding(name, "ok", f"{model}, in {cached}")
            else:
                yield Finding(name, "missing", f"{model} is not on this machine", f"omniges download {name}")


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _data() -> Iterator[Finding]:
    from omniges.config import load_params

    if not _has_params():
        return
    params = load_params()
    root = Path(params.data.root)
    if root.is_dir():
        yield Finding("corpus", "ok", f"{root}: {sum(1 for _ in root.glob('wave16k/*.wav'))} sound files")
    elif params.corpus.make:
        yield Finding("corpus", "optional", f"{root} is not there", "The pipeline makes it: make demo")
    else:
        yield Finding(
            "corpus", "missing", f"{root} is not there", "omniges download beat2, or set data.root."
        )


def _models() -> Iterator[Finding]:
    found = sorted(Path("models").glob("*/a2g/model.safetensors"), key=lambda path: path.stat().st_mtime)
    if found:
        yield Finding("model", "ok", f"{len(found)} trained; newest {found[-1].parent.parent}")
    else:
        yield Finding(
            "model",
            "optional",
            "none trained in models/",
            "Train one (make demo), or name one by --model",
        )


def _smplx() -> Iterator[Finding]:
    from omniges.config import load_params

    path = load_params().evaluate.smplx_model if _has_params() else None
    if path is None:
        remedy = (
            "For SMPL-X meshes and metrics: get the file from smpl-x.is.tue.mpg.de, set evaluate.smplx_model"
        )
        yield Finding("smpl-x", "optional", "not set: the project's own body is used", remedy)
    else:
        good = Path(path).is_file()
        yield Finding(
            "smpl-x", "ok" if good else "missing", path, "" if good else "No such file: mend the path."
        )


def _extras() -> Iterator[Finding]:
    for module, why in (("espeakng_loader", "corpus.voice: espeak"), ("wandb", "tracking.trackers: [wandb]")):
        if importlib.util.find_spec(module) is not None:
            yield Finding(module, "ok", f"installed, for {why}")
