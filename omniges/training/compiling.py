"""Kernels of the model's own, by `torch.compile`: what lies between two matrix products becomes one pass over
memory.

Block by block, not as a whole: the transformer's layers share their kernels, so that twelve compile about as
fast as three, and how many words a batch has changes nothing outside them. Modules are compiled in place;
the names of their weights stay.
"""

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from omniges.errors import ConfigError
from omniges.model.a2g import A2G

RECOMPILE_LIMIT = 32
"""Versions that a block may have. The first, the middle and the last layers differ, each by whether a batch
has one word, many, or as many as the first batch; beyond torch's own limit, 8, blocks run uncompiled."""


def compile_blocks(model: A2G) -> None:
    """Let the audio's fusion, the transformer's layers and the code head be compiled when they are first
    run.
    """
    from torch._dynamo import config  # takes two seconds to import

    config.recompile_limit = RECOMPILE_LIMIT
    for block in (model.fusion, model.code_head):
        block.compile()
    for layer in model.transformer.layers:
        layer.compile(dynamic=bool(model.config.sizes.text_width))


def check_compiling(accelerator: Accelerator) -> None:
    """Compile one operation, afresh, before anything is trained.

    Raises:
        ConfigError: it can't be done here, or weights are sharded by FSDP.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        raise ConfigError(
            "train.compile: got true with weights sharded by FSDP, which has not been tried; set it to false."
        )
    from torch._inductor.utils import fresh_cache  # takes a second to import

    torch.compiler.reset()  # or an operation of before would serve
    failure = None
    with fresh_cache():
        try:
            torch.compile(torch.neg)(torch.zeros(2, device=accelerator.device))
        except (RuntimeError, OSError) as error:  # torch.compile's own are RuntimeErrors
            failure = error
    if failure is not None:
        raise ConfigError(
            f"train.compile: torch.compile fails for {accelerator.device.type} on this machine "
            f"({str(failure).splitlines()[0]}). Install what it lacks (for a CPU a C++ compiler: g++, or the "
            "one that the environment variable CXX names), or set train.compile to false."
        ) from failure
