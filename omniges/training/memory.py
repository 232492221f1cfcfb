"""Memory that a training step frees and the next one wants again."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_TRIM_BYTES, _MMAP_BYTES = 2**31 - 1, 2**25  # the most that glibc takes


def keep_freed_memory() -> bool:
    """Let glibc keep up to 2 GB of freed memory instead of handing it to the system, which hands it out again
    page by page, zeroed: a full-size step on the CPU frees and wants a gigabyte of gradients.

    Returns:
        False where the C library isn't glibc; nothing changes then.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES) and mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES))
