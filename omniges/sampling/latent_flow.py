"""The stage `latent_generate`: every test clip by the latent flow, the model's nearest baseline."""

from omniges.config import Params
from omniges.files import atomic_folder, write_json
from omniges.sampling.stage import load_networks, notes, read_speeches, write_take
from omniges.workspace import Workspace

OF_CODES = ("first_step", "sampled_levels", "temperature", "coherence_s", "softness", "top_p")
"""Options of `sampling` that say how codes are drawn, which means nothing among latents."""


def run(params: Params, workspace: Workspace) -> None:
    """Generate one take of each test clip, as `CLIP.npz`, and write down how.

    Args:
        params: `sampling`, whose first seed, windows and guidance are the model's; only the number of steps
            is the baseline's own.
        workspace: where pack and checkpoint are.
    """
    mine = workspace.latent_flow
    first, steps = params.sampling.seeds[0], params.baselines.latent_flow.steps
    # No level is drawn, so that nothing of the codes' noise is taken from the clip's own.
    changes = {"seeds": [first], "steps": steps, "sampled_levels": 0}
    sampling = params.sampling.model_copy(update=changes)
    model, tokenizer = load_networks(mine, sampling)
    with atomic_folder(mine.generated) as folder:
        write_take(folder, model, tokenizer, read_speeches(mine, model, "test"), first, sampling)
        write_json(folder / "generation.json", notes(sampling, mine, [], OF_CODES))
