"""A trained model from its checkpoint folder."""

from pathlib import Path

from omniges import checkpoint
from omniges.model.a2g import A2G
from omniges.model.config import ModelConfig


def load_model(folder: Path) -> A2G:
    """Build the model that a checkpoint describes and load its weights, in evaluation mode on the CPU.

    Raises:
        CheckpointError: missing, damaged, or made for something else.
    """
    found = checkpoint.load(folder)
    config = ModelConfig.from_json(found.config)
    statistics = {name: value for name, value in found.statistics.items() if name != "latent_std"}
    model = A2G(config, statistics, found.tensors["code_head.codebooks"], found.statistics["latent_std"])
    checkpoint.load_state(model, found.tensors, folder)
    return model.eval()
