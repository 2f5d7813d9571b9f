"""A word on standard error where ``auto`` finds no GPU that it could use."""

from __future__ import annotations

import sys


def tell_fallback() -> None:
    """Say why the CPU simulates; nothing where a GPU does."""
    from fastq.engine.backend import why_not_cuda

    reason = why_not_cuda()
    if reason is not None:
        sys.stderr.write(f"on the CPU, not a GPU: {reason}\n")
        sys.stderr.flush()
