"""Runs in MLflow, TensorBoard or Weights & Biases, as `tracking.trackers` says; with none of them, nothing
happens.

One process writes (rank 0). MLflow's database lies in the main checkout, also when the code runs in a git
worktree or in one of DVC's temporary workspaces, which are deleted after use; `MLFLOW_TRACKING_URI`
overrides.
"""

import importlib.metadata
import math
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omniges.config import Params
from omniges.files import read_json
from omniges.workspace import Workspace, lasting_checkout

RUN_FILE = "run.json"
"""Name, in a checkpoint folder, of the JSON whose "run" is the id of the run that trained it."""
MODEL_DATA = "data/pieces"
"""Where a logged model's pieces lie in its artifact."""
_LOADER = "omniges.api.pyfunc"
_LONGEST_PARAM = 500
_MOST_CHANGES = 3  # of parameters, in a run's name


class Run:
    """A run that is being logged; a context manager that ends it.

    Args:
        mlflow_run: MLflow's run, or None.
        board: a TensorBoard writer, or None.
        wandb_run: a Weights & Biases run, or None.
    """

    def __init__(self, mlflow_run: Any = None, board: Any = None, wandb_run: Any = None) -> None:
        self._mlflow_run = mlflow_run
        self._board = board
        self._wandb_run = wandb_run

    @property
    def id(self) -> str | None:
        """MLflow's run id; None without MLflow."""
        return self._mlflow_run.info.run_id if self._mlflow_run else None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log nested parameters by dotted names. MLflow refuses other values for known names, so those are
        left.
        """
        flat = {name: str(value)[:_LONGEST_PARAM] for name, value in _flat(params)}
        if self._mlflow_run:
            client = client_of_database()
            known = client.get_run(self.id).data.params
            new = [(name, value) for name, value in flat.items() if name not in known]
            from mlflow.entities import Param

            for start in range(0, len(new), 100):  # MLflow's largest batch
                client.log_batch(self.id, params=[Param(*row) for row in new[start : start + 100]])
        if self._wandb_run:
            self._wandb_run.config.update(flat, allow_val_change=True)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers: Python, numpy and torch scalars alike, names nested or dotted. What is not finite is
        left out.
        """
        flat = {name: number for name, value in _flat(metrics) if (number := _number(value)) is not None}
        if self._mlflow_run:
            import time

            from mlflow.entities import Metric

            now_ms = int(time.time() * 1000)
            rows = [Metric(name, value, now_ms, step or 0) for name, value in flat.items()]
            for start in range(0, len(rows), 1000):
                client_of_database().log_batch(self.id, metrics=rows[start : start + 1000])
        if self._board:
            for name, value in flat.items():
                self._board.add_scalar(name, value, step)
        if self._wandb_run:
            self._wandb_run.log(flat, step=step)

    def log_artifact(self, path: Path) -> None:
        """Attach a file, or a folder with all it holds."""
        if self._mlflow_run:
            log = client_of_database().log_artifacts if path.is_dir() else client_of_database().log_artifact
            log(self.id, str(path), path.name if path.is_dir() else None)
        if self._wandb_run:
            self._wandb_run.save(str(path), base_path=str(path.parent))

    def log_model(self, pieces: Mapping[str, Path]) -> None:
        """Log a trained model as `model`, with the code that it needs.

        `mlflow.pyfunc.load_model("runs:/ID/model")` and `omniges generate --model runs:/ID/model` find it.

        Args:
            pieces: folders of the model by name: a2g, encoders, tokenizers.
        """
        if not self._mlflow_run:
            return
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

        signature = ModelSignature(
            inputs=Schema([ColSpec("string", "audio")]),
            params=ParamSchema([ParamSpec("seed", "long", 0), ParamSpec("speaker", "long", -1)]),
        )
        mlflow.set_tracking_uri(tracking_uri())
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "pieces"
            folder.mkdir()
            for name, path in pieces.items():
                (folder / name).symlink_to(path.resolve())  # MLflow copies what they point to
            with mlflow.start_run(run_id=self.id):
                mlflow.pyfunc.log_model(
                    name="model",
                    loader_module=_LOADER,
                    data_path=str(folder),
                    code_paths=[str(Path(__file__).parent)],
                    signature=signature,
                    pip_requirements=[f"omniges=={importlib.metadata.version('omniges')}"],
                )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tag the run, e.g. with the checkpoint's and the data's hashes."""
        if self._mlflow_run:
            for name, value in tags.items():
                client_of_database().set_tag(self.id, name, value)

    def finish(self, status: str = "FINISHED") -> None:
        """End the run; `status` is MLflow's word: FINISHED, FAILED or KILLED."""
        if self._mlflow_run:
            client_of_database().set_terminated(self.id, status)
        if self._board:
            self._board.close()
        if self._wandb_run:
            self._wandb_run.finish(exit_code=0 if status == "FINISHED" else 1)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.finish("FAILED" if kind else "FINISHED")


def start_run(params: Params, W: Workspace, stage: str, resume_from: Path | None = None) -> Run:
    """Begin a run, or go on with the one that made a checkpoint.

    Args:
        params: `tracking` decides where to; all of it can be logged with
        `Run.log_params(params.model_dump())`.
        W: names the corpus.
        stage: the run's name and tag.
        resume_from: JSON with the id of the run to go on with, under "run"; a run that this database does not
            know, as in a fresh clone, is replaced by a new one.
    """
    trackers = params.tracking.trackers
    if not trackers or os.environ.get("RANK", "0") != "0":
        return Run()
    run = None
    if "mlflow" in trackers:
        tags = {"corpus": W.name, **_tags(stage)}
        run = _mlflow_run(params.tracking.experiment, run_name(params, W, stage), tags, resume_from)
    board = _board(W, stage) if "tensorboard" in trackers else None
    wandb_run = _wandb_run(params, stage) if "wandb" in trackers else None
    return Run(run, board, wandb_run)


def run_name(params: Params, W: Workspace, stage: str) -> str:
    """What tells this run from others at a glance: corpus, what differs from the committed parameters (first,
    since lists cut long names), and DVC's experiment or the commit.
    """
    where = os.environ.get("DVC_EXP_NAME") or (_git("rev-parse", "--short=8", "HEAD") or "no commit")
    what = [] if stage == "train" else [stage]
    changed = _changes(params)
    more = [f"and {len(changed) - _MOST_CHANGES} more"] if len(changed) > _MOST_CHANGES else []
    return " ".join([W.name, *what, *changed[:_MOST_CHANGES], *more, where])


def _changes(params: Params) -> list[str]:
    """`section.key=value` of what differs from the committed params.yaml; nothing without one."""
    from omniges.config import parse_params
    from omniges.errors import ConfigError

    text = _git("show", "HEAD:params.yaml")
    if not text:
        return []
    from ruamel.yaml import YAML

    with suppress(ConfigError):  # of another version
        before = dict(_flat(parse_params(YAML(typ="safe").load(text)).model_dump()))
        now = _flat(params.model_dump())
        return [f"{name}={value}" for name, value in now if before.get(name) != value]
    return []


def tracking_uri() -> str:
    """Where MLflow writes: `MLFLOW_TRACKING_URI`, or `mlflow.db` in the main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{main_checkout() / 'mlflow.db'}"


def main_checkout() -> Path:
    """The checkout that lasts: not a git worktree's folder, not one of DVC's temporary experiment
    workspaces.
    """
    here = lasting_checkout()
    if here != Path():
        return here
    common = _git("rev-parse", "--path-format=absolute", "--git-common-dir")
    if common and Path(common).name == ".git":
        return Path(common).parent
    return Path.cwd().resolve()


def _mlflow_run(experiment: str, name: str, tags: dict[str, str], resume_from: Path | None) -> Any:
    client = client_of_database()
    earlier = _earlier_run(client, resume_from)
    if earlier is not None:
        client.update_run(earlier.info.run_id, status="RUNNING")
        return earlier
    found = client.get_experiment_by_name(experiment)
    where = found.experiment_id if found else _create_experiment(client, experiment)
    return client.create_run(where, tags=tags, run_name=name)


def _create_experiment(client: Any, experiment: str) -> str:
    from mlflow.exceptions import MlflowException

    uri = tracking_uri()
    artifacts = (main_checkout() / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
    try:
        return str(client.create_experiment(experiment, artifact_location=artifacts))
    except MlflowException:  # another process was faster
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise
        return str(found.experiment_id)


def _earlier_run(client: Any, record: Path | None) -> Any:
    from mlflow.exceptions import MlflowException

    run = read_json(record)["run"] if record is not None and record.is_file() else None
    if run is None:
        return None
    with suppress(MlflowException):  # made elsewhere: this database has never heard of it
        return client.get_run(run)
    return None


def client_of_database() -> Any:
    """MLflow's client; the database is made under a lock, since parallel first uses break its migration."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        import fcntl

        database = Path(uri.removeprefix("sqlite:///"))
        with database.with_name(database.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            client = MlflowClient(uri)
            if not database.is_file():
                client.search_experiments(max_results=1)
            return client
    return MlflowClient(uri)


def _board(W: Workspace, stage: str) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(main_checkout() / "reports" / "tensorboard" / W.name / stage))


def _wandb_run(params: Params, stage: str) -> Any:
    import wandb

    mode: Any = os.environ.get("WANDB_MODE", "offline")  # nothing leaves the machine unless asked to
    return wandb.init(project=params.tracking.experiment, name=stage, mode=mode, dir=str(main_checkout()))


def _tags(stage: str) -> dict[str, str]:
    tags = {"stage": stage, "commit": _git("rev-parse", "HEAD") or "none"}
    tags["dirty"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    for name in ("DVC_EXP_NAME", "OMNIGES_KEY"):
        if name in os.environ:
            tags[name.lower()] = os.environ[name]
    return tags


def _git(*arguments: str) -> str:
    """Git's answer, or nothing where there is no git or no repository."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number(value: Any) -> float | None:
    if hasattr(value, "item") and getattr(value, "size", 1) != 0:
        with suppress(ValueError, RuntimeError, TypeError):
            value = value.item()
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None
