"""Joins the parameters, dvc.yaml and the corpus into a plan, for the Snakefile and the commands."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from ruamel.yaml import YAML

from omniges.config import Params, load_params
from omniges.data.clips import planned
from omniges.errors import DataError, PipelineError
from omniges.files import read_json, write_json
from omniges.pipeline.graph import Graph, read_graph
from omniges.pipeline.keys import section_values
from omniges.pipeline.locks import acquire, exclusive, holder
from omniges.pipeline.manifest import read_manifest
from omniges.pipeline.plan import Plan
from omniges.pipeline.progress import Progress
from omniges.pipeline.reasons import changed_params
from omniges.pipeline.status import expected_seconds
from omniges.pipeline.units import Clip
from omniges.workspace import Workspace, lasting_checkout

STATE = Path(".omniges")
"""The pipeline's own folder in a checkout: locks and marks of running jobs, and its records."""
FORCED = STATE / "forced.json"
"""Stages that the run at work was told to compute anew, for the processes that it starts."""
PAGE = Path("reports") / "index.html"
"""The page that people read, which Snakemake's own `--report` carries too."""
RAW_KINDS = ("npz", "expression", "wav", "textgrid", "sem")
OPTIONAL_KINDS = ("expression", "sem")
RANKED = ("train", "latent_train")
"""Stages that know how to work as several processes."""
LOOKING = (
    "dryrun",
    "touch",
    "dag",
    "rulegraph",
    "filegraph",
    "d3dag",
    "summary",
    "detailed_summary",
    "lint",
    "list_rules",
    "list_target_rules",
    "unlock",
    "report",
)
"""Options of Snakemake under which nothing may be brought back."""


def records() -> Path:
    """Folder of what outlives a run: the store of results, digests, and the list of what was computed. DVC's
    temporary workspaces use those of the checkout that they belong to, so that work is shared.
    """
    return lasting_checkout() / STATE


def load_graph(params: Params) -> Graph:
    return read_graph(Path("dvc.yaml"), params.model_dump())


def make_plan(params: Params, *, forced: Iterable[str] = (), corpus: bool = True) -> Plan:
    """Plan all units of the current directory's checkout.

    Args:
        params: the checked parameters.
        forced: stages that shall run although they are fresh.
        corpus: false where it may be absent, see `Plan.detached`.
    Raises:
        DataError: `corpus.make` is false and `data.root` is no BEAT2 tree.
    """
    try:
        clips, fault = corpus_clips(params)
    except DataError as error:
        if corpus:
            raise
        clips, fault = None, str(error)
    return Plan(
        load_graph(params),
        params.model_dump(),
        clips,
        root=Path(),
        state=records(),
        unfinished=Workspace.of(params).unfinished,
        raw_fault=fault,
        makes_raw=params.corpus.make,
        forced=frozenset(forced),
    )


def corpus_clips(params: Params) -> tuple[list[Clip] | None, str | None]:
    """The corpus's clips, and what the tree lacks if the pipeline makes it itself."""
    try:
        found = planned(params, Workspace.of(params))
    except DataError:
        if not params.corpus.make:
            raise
        return None, f"{params.data.root} has yet to be made"
    clips = [
        Clip(id=clip.id, split=clip.split, files={kind: getattr(clip, kind) for kind in RAW_KINDS})
        for clip in found
    ]
    lacking = (
        str(path)
        for clip in clips
        for kind, path in clip.files.items()
        if kind not in OPTIONAL_KINDS and path is not None and not path.is_file()
    )
    first = next(lacking, None) if params.corpus.make else None
    return clips, f"{first} is missing" if first else None


def changed_since_made(params: Params, graph: Graph, stage: str) -> dict[str, str]:
    """Parameters of what comes before a stage that differ from those it was made with, as `old → new`: by the
    seals that the stage is made from, and by dvc.lock for what lies before them. Where the corpus lies does
    not count.
    """
    lock = Path("dvc.lock")
    recorded = (YAML(typ="safe").load(lock.read_text("utf-8")) if lock.is_file() else None) or {}
    near = {up.name for up in graph.upstream(stage)}
    found: dict[str, str] = {}
    for name in graph.closure(stage):
        made = [recorded.get("stages", {}).get(name, {}).get("params", {}).get("params.yaml")]
        if name in near:
            labels = graph[name].parts or ("unit",)
            made = [
                sealed and sealed.params for sealed in map(read_manifest, map(graph[name].manifest, labels))
            ]
        for before in made:
            if name != stage and before is not None:
                found |= changed_params(before, section_values(graph[name], params.model_dump()))
    found.pop("data.root", None)
    return found


class SnakemakePlan:
    """What the Snakefile asks: which jobs to run, and in which order.

    Only units that need a job get one; everything else has been brought back, or is right already, before
    Snakemake builds its graph. The marks below `.omniges/run` are this run's jobs; none outlives the next
    start.
    """

    MARKS = STATE / "run"

    def __init__(
        self, plan: Plan, params: Params, *, forced: frozenset[str], restored: bool, reporting: bool = False
    ) -> None:
        self.plan = plan
        self.reporting = reporting  # asked for Snakemake's own `--report`
        self.params = params
        self._forced = forced
        self._jobs = {unit.name: unit for unit in plan.to_run()}
        self.changes = restored or bool(self._jobs)  # whether this run leaves other outputs than it found

    @classmethod
    def start(
        cls, *, main: bool, dry: bool, forced: Iterable[str] = (), reporting: bool = False
    ) -> "SnakemakePlan":
        """Plan, and in Snakemake's main process also restore; `main` is false in processes that Snakemake
        starts.

        Raises:
            PipelineError: another run is at work in this checkout.
        """
        params = load_params()
        graph = load_graph(params)
        wanted = frozenset(_stage_names(graph, forced))
        if main and not dry:
            _take_lock()
            shutil.rmtree(cls.MARKS, ignore_errors=True)
            write_json(FORCED, sorted(wanted))
        elif not main and FORCED.is_file():  # on another node, the command line is not the user's
            wanted = frozenset(read_json(FORCED))
        plan = make_plan(params, forced=wanted)
        restored = False
        if main and not dry:
            for unit in plan.units.values():
                if plan.state(unit)[0] == "restorable":
                    plan.restore(unit)
                    restored = True
            plan.hashes.merge()
            Progress(STATE).start(expected_seconds(plan, records() / "ran.jsonl"))
        if reporting and (late := sorted({unit.stage.name for unit in plan.to_run()})):
            raise PipelineError(
                f"--report shows a finished run; not up to date: {', '.join(late)}. "
                "Run `snakemake --cores all` first."
            )
        return cls(plan, params, forced=wanted, restored=restored, reporting=reporting)

    @classmethod
    def of_workflow(cls, workflow: Any) -> "SnakemakePlan":
        """Plan as Snakemake was asked to: for looking only or for doing, with forced rules (`-R`, `-f`,
        `-F`) or not.
        """
        main = bool(workflow.is_main_process)
        asked = _asked() if main else None
        if asked is None:
            return cls.start(main=False, dry=False)
        forced = set(asked.forcerun or ())
        if asked.force or asked.forceall:
            forced |= set(asked.targets or {"all"})
        if asked.forceall:
            graph = load_graph(load_params())
            forced |= {name for each in _stage_names(graph, forced) for name in graph.closure(each)}
        dry = any(getattr(asked, name) for name in LOOKING)
        return cls.start(main=main, dry=dry, forced=forced, reporting=bool(asked.report))

    @property
    def stages(self) -> list[str]:
        return list(self.plan.graph.stages)

    def mark(self, stage: str) -> str:
        """Output pattern of a stage's jobs."""
        kind = self.plan.graph[stage].unit
        return str(self.MARKS / (stage if kind == "one" else f"{stage}-{{label}}"))

    def jobs(self, stage: str | None = None) -> list[str]:
        """Marks of all jobs for a stage and what comes before it; of the whole graph by default.

        dvc.yaml stands first, since it exists: Snakemake would count a target without any input as a job.
        """
        names = set(self.plan.graph.closure(stage)) if stage else set(self.plan.graph.stages)
        marks = [str(self.MARKS / unit.name) for unit in self._jobs.values() if unit.stage.name in names]
        if self.reporting:  # the last run's jobs, for Snakemake's statistics
            marks = [str(path) for path in sorted(self.MARKS.glob("*"))]
        return ["dvc.yaml", *marks]

    def shown(self) -> list[tuple[str, str, str]]:
        """Path, caption and name of what `snakemake --report` carries; nothing in other runs."""
        if not self.reporting:
            return []
        plots = sorted((PAGE.parent / "plots").glob("*.svg"))
        return [(str(PAGE), "page", "the page"), *((str(p), "plot", f"plot: {p.stem}") for p in plots)]

    def before(self, stage: str) -> list[str]:
        """Marks that a stage's jobs wait for."""
        feeding = {up.name for up in self.plan.graph.upstream(stage)}
        return [str(self.MARKS / unit.name) for unit in self._jobs.values() if unit.stage.name in feeding]

    def command(self, stage: str) -> str:
        """Shell command of a stage's jobs. Its braces are Snakemake's: wildcards, threads, log and output."""
        option = {"one": "", "clip": " --shard {wildcards.label}", "part": " --part {wildcards.label}"}
        force = " --force" if stage in self._forced else ""
        start, threads = f"{sys.executable} -m", "{threads}"
        if stage in RANKED:
            start = "{params.launch}"
            threads = "$((({threads} + {resources.ranks} - 1) / {resources.ranks}))"
        call = f"{start} omniges stage {stage}{option[self.plan.graph[stage].unit]}{force}"
        return f"OMP_NUM_THREADS={threads} {call} 2>&1 | tee {{log}} && touch {{output}}"

    def launch(self, wildcards: Any, resources: Any) -> str:
        """How a job of `RANKED` starts Python: alone, or as `resources.ranks` processes of one node."""
        ranks = int(resources.ranks)
        if ranks == 1:
            return f"{sys.executable} -m"
        return f"{sys.executable} -m torch.distributed.run --standalone --nproc_per_node {ranks} -m"


def _asked() -> Any:
    """Snakemake's own reading of its command line, before the workflow object has it."""
    from snakemake.cli import parse_args

    if Path(sys.argv[0]).name != "snakemake" and "snakemake" not in sys.argv[0]:
        return None
    return parse_args(sys.argv[1:])[1]


def _stage_names(graph: Graph, forced: Iterable[str]) -> list[str]:
    """Rules are named like their stages; `all` forces everything."""
    names = set(forced)
    return list(graph.stages) if "all" in names else [name for name in graph.stages if name in names]


_lock: list[IO[str]] = []  # open as long as the process lives


def _take_lock() -> None:
    stream = acquire(STATE / "lock")
    if stream is None:
        raise PipelineError(
            f"another run (process {holder(STATE / 'lock')}) is at work here. "
            "Wait for it, or end it, then start again."
        )
    _lock.append(stream)
    # Whoever held Snakemake's own locks is gone, or the lock above would not be ours.
    for leftover in ("locks", "incomplete"):
        shutil.rmtree(Path(".snakemake") / leftover, ignore_errors=True)
    for unit in sorted((STATE / "units").glob("*")):  # jobs outlive a Snakemake that was killed
        with exclusive(unit):
            pass
