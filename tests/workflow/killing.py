"""Runs every unit of the checkout in the working directory, killing its process at seeded moments.

`python killing.py REFERENCE OUT KILLS SEED`: REFERENCE is a checkout of the same parameters in which
everything was made undisturbed, as this script does with KILLS = {"else": 0}; OUT gets what was seen.
Packages are imported once; each attempt is a fork.

A moment is a place in the order of a unit's own changes to files (opening for writing, renaming, linking,
removing): the same seed kills at the same places. Every other kill is by the clock instead, since extension
modules write without Python's knowledge.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omniges.cli import planning, stages
from omniges.cli.planning import STATE, make_plan
from omniges.config import Params, load_params
from omniges.pipeline.manifest import read_manifest
from omniges.pipeline.plan import Plan
from omniges.pipeline.runner import Runner
from omniges.pipeline.units import Unit

CHANGES = {
    "os.rename",
    "os.link",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.symlink",
    "os.chmod",
}
ASKED = STATE / "asked.jsonl"
LOG = STATE / "attempts.log"
IMPORTED_LATE = (
    "av",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "pandas",
    "scipy.fft",
    "scipy.ndimage",
    "scipy.signal",
    "soundfile",
    "soxr",
    "tokenizers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.t5.modeling_t5",
    "transformers.models.wavlm.modeling_wavlm",
    "omniges.corpus.clips",
    "omniges.corpus.card",
    "omniges.corpus.tree",
    "omniges.features.text",
    "omniges.features.wavlm_encoder",
)
"""What real stages import only when they need it: every fork would do that anew."""


@dataclass
class Seen:
    """What the kills of one stage showed."""

    kills: int = 0
    finished: int = 0  # attempts that were over before their moment came
    seconds: float = 0.0  # of undisturbed runs
    resumed: int = 0  # kills after which finished items were there
    faults: list[str] = field(default_factory=list)


def main(reference: Path, out: Path, kills: dict[str, int], seed: int) -> None:
    """Go through all units, producers first.

    Args:
        reference: see above.
        out: see above.
        kills: of each stage; "else" for those that are not named.
        seed: of the moments.
    """
    params = load_params()
    plan = make_plan(params)
    for stage in plan.graph.stages.values():
        importlib.import_module(stage.run.partition(":")[0])
    for module in IMPORTED_LATE if "torch" in sys.modules else ():
        importlib.import_module(module)
    _read_once(params, plan)
    found: dict[str, Seen] = {}
    for stage_name in plan.graph.stages:
        seen = found[stage_name] = Seen()
        units = [unit.name for unit in plan.of_stage(stage_name)]
        for number, unit in enumerate(units):
            count = kills.get(stage_name, kills["else"])
            share = count // len(units) + (number < count % len(units))
            victim = _Victim(unit, reference, seen, random.Random(f"{seed} {unit}"))
            victim.torment(share) if count else victim.measure()
    out.write_text(json.dumps({name: vars(seen) for name, seen in found.items()}))


def _read_once(params: Params, plan: Plan) -> None:
    """Parse what doesn't change here before the forks, a third of a second each; kills only meet writers."""
    for module in (planning, stages):
        module.load_params = lambda: params
    planning.load_graph = lambda params: plan.graph


class _Victim:
    """One unit under attack."""

    def __init__(self, name: str, reference: Path, seen: Seen, rng: random.Random) -> None:
        self._name, self._reference, self._seen, self._rng = name, reference, seen, rng

    def torment(self, kills: int) -> None:
        """Measure an undisturbed run, start again from nothing, kill, and let it finish at last."""
        changes, seconds = self.measure()
        self._forget()
        done = set(self._done())
        while kills:
            at_change = self._rng.randint(1, changes) if kills % 2 else None
            within_s = None if at_change else self._rng.uniform(0, 0.9 * seconds)
            if self._attempt(at_change, within_s):
                self._seen.finished += 1
                self._expect_whole()
                self._forget()
                done = set()
                continue
            kills -= 1
            self._seen.kills += 1
            now = self._done()
            if done - now:
                self._fault(f"lost {sorted(done - now)}")
            if done & set(self._asked()):
                self._fault(f"made again: {sorted(done & set(self._asked()))}")
            self._seen.resumed += bool(now)
            done = now
        if not self._attempt(None, None):
            self._fault("did not finish")
        self._expect_whole()

    def measure(self) -> tuple[int, float]:
        """An undisturbed run: how many changes it makes, and how long it takes."""
        count = STATE / "changes"
        count.parent.mkdir(exist_ok=True)
        start = time.monotonic()
        if not self._attempt(None, None, count=count):
            raise SystemExit(f"{self._name} fails undisturbed; see {LOG.resolve()}")
        self._seen.seconds += time.monotonic() - start
        return int(count.read_text()), time.monotonic() - start

    def _attempt(self, at_change: int | None, within_s: float | None, count: Path | None = None) -> bool:
        """One run in a fork; True if it got to its end."""
        ASKED.unlink(missing_ok=True)
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _run(self._name, at_change, count)
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if within_s is not None and time.monotonic() - start > within_s:
                os.kill(child, signal.SIGKILL)
                within_s = None
            time.sleep(0.0005)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit(f"{self._name} failed; see {LOG.resolve()}:\n{LOG.read_text()[-3000:]}")
        return os.WIFEXITED(status)

    def _done(self) -> set[str]:
        """Items that the pipeline would take for whole; each must be what an undisturbed run made."""
        plan, unit = self._plan()
        wanted = self._wanted(unit)
        found = {item.name: plan.resolve(unit, item) for item in unit.items or ()}
        for name, entry in found.items():
            if entry is not None and wanted is not None and entry.files != wanted[name]:
                self._fault(f"{name} was taken for whole")
        return {name for name, entry in found.items() if entry is not None}

    def _expect_whole(self) -> None:
        plan, unit = self._plan()
        state = plan.state(unit)
        if state[0] != "fresh":
            self._fault(f"{state} after it had finished")
        self._done()

    def _wanted(self, unit: Unit) -> dict[str, dict[str, str]] | None:
        """File → digest by item, as the undisturbed run sealed it; None for what says when it was made."""
        if unit.stage.name in ("train", "latent_train", "evaluate", "tokenizers") and self._timed_files():
            return None
        sealed = read_manifest(self._reference / unit.manifest)
        assert sealed is not None, unit.manifest
        return {name: entry.files for name, entry in sealed.items.items()}

    def _timed_files(self) -> bool:
        return (self._reference / "models" / "demo" / "a2g" / "curve.json").exists()

    def _asked(self) -> list[str]:
        rows = ASKED.read_text().splitlines() if ASKED.exists() else []
        return [name for row in rows for name in json.loads(row)]

    def _forget(self) -> None:
        """Back to where nothing of this unit was ever made; what comes before it stays."""
        _, unit = self._plan()
        if unit.stage.raw:
            shutil.rmtree(load_params().data.root, ignore_errors=True)
        for item in unit.items or ():
            for path in unit.stage.folder.glob(f"{item.name}.parquet"):
                path.unlink()
        unit.manifest.unlink(missing_ok=True)
        for out in unit.outs if unit.stage.unit != "clip" else ():
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
        shutil.rmtree(STATE / "store", ignore_errors=True)

    def _plan(self) -> tuple[Plan, Unit]:
        plan = make_plan(load_params())
        return plan, plan.units[self._name]

    def _fault(self, text: str) -> None:
        self._seen.faults.append(f"{self._name}: {text}")


def _run(name: str, at_change: int | None, count: Path | None) -> Any:
    """The forked process: `omniges stage` for one unit, dying at the given change."""
    sys.stdout = sys.stderr = LOG.open("w", buffering=1)
    os.dup2(sys.stdout.fileno(), 2)
    changes = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if event not in CHANGES and not (event == "open" and _for_writing(arguments)):
            return
        changes += 1
        if changes == at_change:
            os.kill(os.getpid(), signal.SIGKILL)

    timed = Runner._timed

    def noting(runner: Runner, unit: Unit, names: list[str]) -> Any:
        fd = os.open(ASKED, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(fd, (json.dumps(names) + "\n").encode())
        return timed(runner, unit, names)

    Runner._timed = noting  # type: ignore[method-assign]
    sys.addaudithook(hook)
    code = 1
    try:
        stage, _, label = name.partition("-")
        option = {"shard": int(label)} if label.isdigit() else {"part": label or None}
        stages.stage(stage, **{"shard": None, "part": None, **option}, force=False)
        code = 0
        if count is not None:
            count.write_text(str(changes))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _for_writing(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))
