"""The only file with numba decorators and options.

``device`` marks a function that kernels call. It stays an ordinary Python function when called from Python,
and is compiled into whatever kernel calls it, on the CPU or on a GPU. ``entry`` compiles a kernel that the
host calls.

Integers are 64 bits wide in every mode, no fast-math is used and no allocation happens, so plain Python,
compiled code and a GPU give the same bits.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numba import njit
from numba.extending import register_jitable

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def device(function: F) -> F:
    """Mark ``function`` as callable from kernels; it is inlined where it is called."""
    registered: F = register_jitable(forceinline=True)(function)
    return registered


def device_call(function: F) -> F:
    """Mark ``function`` as callable from kernels; it stays a call, for what is rare or large."""
    registered: F = register_jitable(function)
    return registered


@cache
def source_digest() -> str:
    """SHA-256 of all kernel sources: an entry's closure holds it, so that a cached binary is dropped on any edit."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def entry(function: F) -> F:
    """Compile ``function`` as a kernel that releases the GIL and is cached on disk.

    ``function`` must hold :func:`source_digest` in its closure: numba's cache looks at one function's own
    code and closure only.
    """
    # Kernels allocate nothing, so counting references to their arrays is pure cost: without it (_nrt, an option
    # that numba does not document) they run five times as fast.
    options: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}
    compiled: F = njit(**options)(function)
    return compiled
