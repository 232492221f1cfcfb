"""Reading back from MLflow what `tracking` wrote: a run's files, and its model."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omniges.errors import TrackingError
from omniges.tracking import MODEL_DATA, client_of_database, tracking_uri


def fetch(run: str, names: Sequence[str], folder: Path) -> None:
    """Download some of a run's artifacts from MLflow.

    Args:
        run: id or name; of several runs of one name the newest counts.
        names: of the artifacts.
        folder: where they go.
    Raises:
        TrackingError: no such run, or it lacks an artifact.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    found = _find_run(run)
    for name in names:
        try:
            download_artifacts(
                run_id=found.info.run_id,
                artifact_path=name,
                dst_path=str(folder),
                tracking_uri=tracking_uri(),
            )
        except (MlflowException, OSError) as error:
            raise TrackingError(
                f"MLflow run {run}: has no {name}; wanted a run whose evaluation is done."
            ) from error


def is_model_uri(name: str) -> bool:
    """Whether a model's name is one of MLflow's, such as runs:/ID/model or models:/m-ID."""
    return name.startswith(("runs:/", "models:/"))


def fetch_model(uri: str) -> Path:
    """The folder of a logged model's three pieces (a2g/, encoders/, tokenizers/), copied from MLflow.

    Args:
        uri: runs:/ID/model, models:/m-ID or models:/NAME/VERSION.
    Raises:
        TrackingError: no such model in this database.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client_of_database()
    mlflow.set_tracking_uri(tracking_uri())
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        raise TrackingError(f"{uri}: no such model in {tracking_uri()}: {error}") from error
    if not (folder / MODEL_DATA).is_dir():
        raise TrackingError(f"{uri}: holds no {MODEL_DATA}/; wanted a model that the stage `train` logged.")
    return folder / MODEL_DATA


def _find_run(name: str) -> Any:
    from mlflow.exceptions import MlflowException

    client = client_of_database()
    with suppress(MlflowException):  # no id
        return client.get_run(name)
    quoted = name.replace("'", "")
    places = [x.experiment_id for x in client.search_experiments()]
    runs = client.search_runs(places, f"attributes.run_name = '{quoted}'", max_results=1)
    if not runs:
        raise TrackingError(
            f"{name}: neither a folder nor a run in {tracking_uri()}; `mlflow ui` shows names and ids."
        )
    return runs[0]
