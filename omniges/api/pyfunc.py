"""What MLflow loads a logged model with.

mlflow.pyfunc.load_model("runs:/ID/model").predict(pandas.DataFrame({"audio": ["speech.wav"]}), {"seed": 3})
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omniges.api.generator import Omniges


class Mover:
    """MLflow's view of a model: sound files in, motion out."""

    def __init__(self, omniges: Omniges) -> None:
        self.omniges = omniges

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Motion for every recording.

        Args:
            model_input: a table with the column `audio`: paths of sound files.
            params: `seed`; `speaker`, -1 for nobody in particular.
        Returns:
            For each recording poses [T, 165] rad, trans [T, 3] m, expressions [T, 100] and fps.
        """
        options = dict(params or {})
        speaker = options.get("speaker", -1)
        takes = [
            self.omniges.generate(
                Path(path), seed=options.get("seed", 0), speaker=None if speaker == -1 else speaker
            ).motion
            for path in model_input["audio"]
        ]
        return [
            {
                "poses": m.poses.reshape(m.n_frames, -1),
                "trans": m.trans,
                "expressions": m.expressions,
                "fps": m.fps,
            }
            for m in takes
        ]


def _load_pyfunc(path: str) -> Mover:
    """MLflow calls this with the folder of the model's pieces."""
    return Mover(Omniges.load(path))
