"""How long a codebook update takes beside the published one with one-hot matrices, as a ratio.

    python benchmarks/codebook_update.py

Both give the same codebook (tests/tokenizers/test_quantizer.py).
One thread, CPU seconds, both sides by turns, median of several rounds.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from omniges.tokenizers.codebook import summed_by_code

CODES, CODE_DIM, REPEATS = 1024, 128, 3


def one_hot_sums(rows: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The published way: a [K, M] matrix of zeros and ones, multiplied."""
    matrix = torch.zeros(size, len(rows)).scatter_(0, codes.view(1, -1), 1)
    return matrix @ rows, matrix.sum(dim=1)


def alternate_ms(
    slow: Callable[[], object], fast: Callable[[], object], rounds: int = 21
) -> tuple[float, float]:
    """Median CPU milliseconds of both; one round repeats each call, since the clock is coarse."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, found in zip((slow, fast), times, strict=True):
            call()
            start = time.process_time()
            for _ in range(REPEATS):
                call()
            found.append((time.process_time() - start) / REPEATS * 1000)
    return tuple(sorted(found)[rounds // 2] for found in times)  # type: ignore[return-value]


def main() -> None:
    torch.set_num_threads(1)
    print("| vectors | one-hot ms | index_add ms | ratio |\n| --- | --- | --- | --- |")
    for vectors in (512, 2048, 16384):
        rows, codes = torch.randn(vectors, CODE_DIM), torch.randint(CODES, (vectors,))
        slow, fast = alternate_ms(
            lambda r=rows, c=codes: one_hot_sums(r, c, CODES),
            lambda r=rows, c=codes: summed_by_code(r, c, CODES),
        )
        print(f"| {vectors} | {slow:.2f} | {fast:.3f} | {slow / fast:.1f} |", flush=True)
        if vectors == 512:
            ratio = slow / fast
    print(f"codebook update, 512 vectors: {ratio:.1f} (goal 5)")


if __name__ == "__main__":
    main()
