"""A toy training run of its own: `python toy_run.py FOLDER BATCH [steps|gradients|compiled|silence]`."""

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import a2g_toys as toys
import torch
from accelerate import Accelerator
from torch._dynamo.utils import counters

from omniges.training.loop import Data, Trainer


def main(folder, batch, mode):
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)

    def collate(items):
        """In silence, the second process has what the pack gives for no words: one, masked."""
        found = toys.collate(items)
        if mode != "silence" or accelerator.is_main_process:
            return found
        return replace(
            found,
            text=torch.zeros_like(found.text[:, :1]),
            text_mask=torch.zeros_like(found.text_mask[:, :1]),
            text_span_s=torch.zeros_like(found.text_span_s[:, :1]),
        )

    one_step = mode in ("gradients", "compiled")
    limits = {"clip_norm": 1e9, "compile": mode == "compiled"} if one_step else {}
    trainer = Trainer(
        toys.model(),
        Data(train=toys.ToyWindows(24), val=toys.ToyWindows(4), collate=collate),
        toys.train_params(batch_per_process=batch, max_steps=12, **limits),
        accelerator=accelerator,
        folder=folder / "state",
        key="toy",
        log=lambda metrics, step: print(f"step {step}", flush=True),
    )
    if one_step:
        trainer.optimizer.step = lambda: None
        metrics = trainer.step(0, trainer.passes(0))
        assert (counters["stats"]["unique_graphs"] > 0) == (mode == "compiled")
        if accelerator.is_main_process:
            gradients = {name: p.grad for name, p in trainer.model.named_parameters()}
            torch.save({"gradients": gradients, "total": metrics["train/total"]}, folder / "gradients.pt")
            (folder / "ranks").write_text(str(accelerator.num_processes))
        return
    trainer.resume()
    trainer.run()
    if accelerator.is_main_process:
        (folder / "curve.json").write_text(json.dumps(trainer.progress.curve))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
