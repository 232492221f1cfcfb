import numpy as np
import pytest
from moving import moving


@pytest.fixture
def motion():
    return moving()


@pytest.fixture
def wave():
    """2 s at 16 kHz: silence, then a click at exactly 1 s with a decaying tone."""
    t = np.arange(32_000) / 16_000
    return (0.5 * np.sin(2 * np.pi * 440 * t) * np.exp(-8 * np.maximum(t - 1, 0)) * (t >= 1)).astype(
        np.float32
    )
