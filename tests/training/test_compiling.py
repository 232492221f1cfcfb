"""Blocks by `torch.compile`, against the same blocks without."""

from types import SimpleNamespace
from typing import Any

import a2g_toys as toys
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from compiler import compiles
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from omniges.errors import ConfigError
from omniges.training.compiling import check_compiling, compile_blocks
from omniges.training.draws import draw
from omniges.training.step import draws_shape, training_losses


def test_without_a_compiler_it_says_so_before_training():
    missing = inductor.patch({"cpp.cxx": (None, "/nowhere/g++")})
    message = r"train\.compile: .*/nowhere/g\+\+.*set train\.compile to false"
    with missing, pytest.raises(ConfigError, match=message):
        check_compiling(Accelerator(cpu=True))


def test_sharded_weights_are_refused():
    sharded: Any = SimpleNamespace(distributed_type=DistributedType.FSDP)
    with pytest.raises(ConfigError, match=r"train\.compile: .*FSDP"):
        check_compiling(sharded)


@compiles
@pytest.mark.slow
@pytest.mark.timeout(1200)  # two minutes alone, more where a machine is slow and busy
@pytest.mark.parametrize("text_width", [0, 8])
def test_compiled_blocks_give_the_same_losses_gradients_and_names(text_width):
    torch.compiler.reset()  # or what was compiled before would serve, or be compiled anew
    plain, compiled = (toys.jitter(toys.model(text_width=text_width)).train() for _ in range(2))
    compile_blocks(compiled)
    train = toys.train_params()
    batch = toys.collate([toys.ToyWindows()[i] for i in range(4)])
    draws = draw(train, [("compiling", i) for i in range(4)], *draws_shape(plain, 32))
    before = counters["stats"]["unique_graphs"]
    totals = []
    for model in (plain, compiled):
        totals.append(training_losses(model, model, batch, draws).total(train.loss))
        totals[-1].backward()
    assert counters["stats"]["unique_graphs"] - before == 4  # fusion, head, and layers of two kinds
    assert not counters["graph_break"]
    torch.testing.assert_close(totals[1], totals[0], rtol=1e-6, atol=0)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    found = dict(compiled.named_parameters())
    for name, parameter in plain.named_parameters():
        want, got = parameter.grad, found[name].grad
        assert (got is None) == (want is None), name
        if want is not None:
            assert (got - want).norm() <= 1e-4 * want.norm() + 1e-7, name
