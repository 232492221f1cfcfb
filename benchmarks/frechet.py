"""Time of the Fréchet distance against the textbook matrix root: python benchmarks/frechet.py."""

import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

from omniges.evaluation.frechet import Gaussian, frechet, gaussian

REPEATS = 7


def by_sqrtm(a: Gaussian, b: Gaussian) -> float:
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    return float(((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * np.real(root)))


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of the fastest of a few runs, on one thread."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    lines = []
    for d, goal in ((240, 1.8), (512, 3.5)):
        slowest = np.inf
        for name, n in (("full rank", 4 * d), ("fewer vectors than dimensions", d // 2)):
            a, b = (gaussian(rng.standard_normal((n, d)) @ rng.standard_normal((d, d))) for _ in range(2))
            own, root = milliseconds(lambda: frechet(a, b)), milliseconds(lambda: by_sqrtm(a, b))  # noqa: B023
            print(
                f"{d} dimensions, {name}: {own:.1f} ms, sqrtm {root:.1f} ms, {root / own:.1f} times as fast"
            )
            slowest = min(slowest, root / own)
        lines.append(f"FRECHET {d}: {slowest:.1f} times as fast as sqrtm (goal {goal})")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
