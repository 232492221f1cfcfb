"""The stage `latent_train`: the baseline that is nearest to the model, trained by the model's own code.

The same network, data, seed and number of steps; only its head gives latents instead of codes, and the flow
walks among latents (`model.predicts: latents`), as in GestureLSM (arXiv:2501.18898).
"""

from omniges.config import Params
from omniges.training import stage
from omniges.workspace import Workspace


def run(params: Params, workspace: Workspace) -> None:
    """Train it, or go on training, and write its checkpoint into `models/NAME/latent_flow`.

    Args:
        params: sections `train` and `model`.
        workspace: where the pack is.
    """
    model = params.model.model_copy(update={"predicts": "latents"})
    stage.run(params.model_copy(update={"model": model}), workspace.latent_flow)
