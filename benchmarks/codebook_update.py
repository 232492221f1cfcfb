"""How long a codebook update takes beside the published one with one-hot matrices, as a ratio.

    python benchmarks/codebook_update.py

Both give the same codebook (tests/tokenizers/test_quantizer.py). One thread, median of several rounds.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from omniges.tokenizers.codebook import summed_by_code

CODES, CODE_DIM = 1024, 128


def one_hot_sums(rows: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The published way: a [K, M] matrix of zeros and ones, multiplied."""
    matrix = torch.zeros(size, len(rows)).scatter_(0, codes.view(1, -1), 1)
    return matrix @ rows, matrix.sum(dim=1)


def median_ms(call: Callable[[], object], rounds: int = 15) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2] * 1000


def main() -> None:
    torch.set_num_threads(1)
    print("| vectors | one-hot ms | index_add ms | ratio |\n| --- | --- | --- | --- |")
    for vectors in (512, 2048, 16384):
        rows, codes = torch.randn(vectors, CODE_DIM), torch.randint(CODES, (vectors,))
        slow = median_ms(lambda r=rows, c=codes: one_hot_sums(r, c, CODES))
        fast = median_ms(lambda r=rows, c=codes: summed_by_code(r, c, CODES))
        print(f"| {vectors} | {slow:.2f} | {fast:.3f} | {slow / fast:.1f} |", flush=True)


if __name__ == "__main__":
    main()
