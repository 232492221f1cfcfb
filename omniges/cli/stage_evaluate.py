"""Stage `evaluate`, joined to the renderer that it must not import itself."""

from omniges.config import Params
from omniges.workspace import Workspace


def run(params: Params, W: Workspace) -> None:
    """Evaluate and, where `evaluate.render` says so, draw the videos."""
    from omniges.evaluation import stage

    if not params.evaluate.render or params.evaluate.num_samples == 0:
        stage.run(params, W)
        return
    from omniges.rendering.video import render_comparison

    stage.run(params, W, render=render_comparison)
