"""What each kernel compiles to, without a GPU: registers, spills and local memory of a thread, and instructions.

``python -m benchmarks.gpu_ptx`` compiles every kernel to PTX with numba-cuda and links it with nvJitLink, both of the
extra ``cuda``, and rewrites ``gpu_ptx.json`` beside this file.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from benchmarks.standard_case import standard_spec
from fastq.engine.encode import encode
from fastq.engine.gpu_layout import Placed, plan
from fastq.kernels.cuda import advance_kernel, pack_bins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAPABILITIES = ((8, 0), (9, 0))
"""A100; H100 and H200."""

KINDS = {
    "saturated": (True, False, False),
    "saturated, lookahead": (True, True, False),
    "saturated, terms": (True, False, True),
    "rates": (False, False, False),
    "rates, lookahead": (False, True, False),
    "rates, terms": (False, False, True),
}
"""Whether the queue is saturated, admission looks ahead, and terms are added to the planes of the iteration time."""
PACK = "pack_bins"
NARROW_BITS, WIDE_BITS = 16, 32
CAP = 128
"""Registers of a thread that let twice as many warps run at a time."""

FILE = Path(__file__).with_name("gpu_ptx.json")

_COUNTED = {
    "global_loads": r"ld\.global",
    "read_only_loads": r"ld\.global\.nc",
    "global_stores": r"st\.global",
    "local_accesses": r"(?:ld|st)\.local",
    "calls": r"call\b",
}
_USED = re.compile(r"Used (\d+) registers")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel for one compute capability.

    Parameters
    ----------
    bits
        Width of lengths and slots.
    instructions, global_loads, read_only_loads, global_stores, local_accesses, calls
        In the PTX, each counted once however often it runs.
    registers, stack_bytes, spill_store_bytes, spill_load_bytes
        Of a thread, once linked to machine code; ``None`` where nvJitLink is not installed.
    max_registers
        What it was linked for; ``None``: no cap.
    """

    kernel: str
    bits: int
    capability: str
    instructions: int
    global_loads: int
    read_only_loads: int
    global_stores: int
    local_accesses: int
    calls: int
    registers: int | None = None
    stack_bytes: int | None = None
    spill_store_bytes: int | None = None
    spill_load_bytes: int | None = None
    max_registers: int | None = None


def compile_kernel(name: str, bits: int, capability: tuple[int, int]) -> tuple[str, Compiled]:
    """PTX of a kernel, and what is in it."""
    from numba import cuda, typeof, types

    function, arguments = _kernel(name, narrow=bits == NARROW_BITS)
    signature = types.void(*(typeof(argument) for argument in arguments))
    with _device(capability):
        ptx, _ = cuda.compile(function, signature, device=False, abi="numba", cc=capability)
    lines = [line.strip() for line in ptx.splitlines()]
    counts = {
        field: sum(bool(re.match(rf"(?:@!?%p\d+ )?{pattern}", line)) for line in lines)
        for field, pattern in _COUNTED.items()
    }
    instructions = sum(line.endswith(";") and not line.startswith((".", "//")) for line in lines)
    major, minor = capability
    compiled = Compiled(name, bits, f"{major}.{minor}", instructions, **counts, **link(ptx, capability))
    return ptx, compiled


def compile_all() -> Iterator[tuple[str, Compiled]]:
    """PTX of every kernel, for every width and compute capability, and what is in it."""
    for name, bits, capability in product((*KINDS, PACK), (NARROW_BITS, WIDE_BITS), CAPABILITIES):
        yield compile_kernel(name, bits, capability)


def capped(ptx: str, compiled: Compiled) -> Compiled:
    """The same kernel, linked for at most ``CAP`` registers."""
    major, minor = compiled.capability.split(".")
    return replace(compiled, max_registers=CAP, **link(ptx, (int(major), int(minor)), CAP))


def link(ptx: str, capability: tuple[int, int], max_registers: int | None = None) -> dict[str, int]:
    """Registers, stack and spills of a thread; nothing where nvJitLink is not installed."""
    try:
        from cuda.bindings import nvjitlink
    except ImportError:
        return {}
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"]
    if max_registers is not None:
        options.append(f"-maxrregcount={max_registers}")
    handle = nvjitlink.create(len(options), options)
    try:
        code = ptx.encode()
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "kernel")
        nvjitlink.complete(handle)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return _read_log(log.decode())


def _read_log(log: str) -> dict[str, int]:
    used, stack = _USED.search(log), _STACK.search(log)
    if used is None or stack is None:
        return {}
    names = ("registers", "stack_bytes", "spill_store_bytes", "spill_load_bytes")
    return dict(zip(names, map(int, (*used.groups(), *stack.groups())), strict=True))


def _kernel(name: str, *, narrow: bool) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """The kernel and arguments of the types that the engine gives it."""
    saturated, _, _ = KINDS.get(name, (True, False, False))
    spec = standard_spec()
    encoded = encode(spec.point(0), spec.run, mean_running=1.0)
    planned = replace(plan([Placed(encoded, [0], None if saturated else 1.0)]), narrow=narrow)
    pools = planned.pools(np.copy, np.empty)
    numbers = np.zeros(1, np.int64)
    if name == PACK:
        return pack_bins, (numbers, numbers, pools, np.zeros(1, np.uint32))
    return advance_kernel(*KINDS[name]), (
        numbers, planned.params, planned.places, pools, numbers, 1, numbers,
    )  # fmt: skip


@contextmanager
def _device(capability: tuple[int, int]) -> Iterator[None]:
    """Let numba-cuda, which asks the GPU that is there for its capability, hear of another."""
    device = SimpleNamespace(compute_capability=capability)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        yield


def main() -> None:
    compiled = []
    for ptx, one in compile_all():
        compiled.append(one)
        if one.kernel != PACK:
            compiled.append(capped(ptx, one))
    report = {
        "versions": {name: version(name) for name in ("numba-cuda", "nvidia-nvvm", "nvidia-nvjitlink")},
        "kernels": [asdict(one) for one in compiled],
    }
    FILE.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for one in compiled:
        print(one)


if __name__ == "__main__":
    main()
