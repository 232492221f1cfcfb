"""Whether `torch.compile` finds the C++ compiler that it wants on a CPU."""

import os
import shutil

import pytest

compiles = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler, which torch.compile wants"
)
