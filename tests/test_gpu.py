"""The GPU backend: in numba's simulator and as PTX everywhere, on a card where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastq.engine import backend
from fastq.engine.backend import choose_backend, why_not_cuda
from fastq.errors import BackendUnavailable

HERE = Path(__file__).parent
ROOT = HERE.parent

needs_numba_cuda = pytest.mark.skipif(
    backend.find_spec("numba_cuda") is None, reason="numba-cuda, of the extra cuda, is not installed"
)


def run_checks(**environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "check_gpu.py")],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_numba_cuda
def test_the_simulator_gives_the_bits_of_the_cpu():
    run_checks(NUMBA_ENABLE_CUDASIM="1")


def test_a_card_gives_the_bits_of_the_cpu():
    reason = why_not_cuda()
    if reason is not None:
        pytest.skip(f"no GPU to test on: {reason}")
    run_checks()


@needs_numba_cuda
def test_every_kernel_compiles_without_a_gpu():
    """Nothing is called, no array of a thread lies in local memory but what is spilled, and tables are read only.

    A process for each compute capability, side by side: they share no step of the compilation.
    """
    script = (
        "import dataclasses, json, sys\n"
        "from itertools import product\n"
        "from benchmarks import gpu_ptx\n"
        "assert len(gpu_ptx.CAPABILITIES) == 2\n"
        "capability = gpu_ptx.CAPABILITIES[int(sys.argv[1])]\n"
        "for name, bits in product((*gpu_ptx.KINDS, gpu_ptx.PACK), (gpu_ptx.NARROW_BITS, gpu_ptx.WIDE_BITS)):\n"
        "    ptx, found = gpu_ptx.compile_kernel(name, bits, capability)\n"
        "    target = next(line for line in ptx.splitlines() if line.startswith('.target'))\n"
        "    capped = gpu_ptx.capped(ptx, found).registers\n"
        "    print(json.dumps({'target': target, 'capped': capped, **dataclasses.asdict(found)}))\n"
    )
    with ThreadPoolExecutor() as pool:
        ran = list(
            pool.map(
                lambda index: subprocess.run(
                    [sys.executable, "-c", script, str(index)],
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    check=False,
                ),
                range(2),
            )
        )
    for done in ran:
        assert done.returncode == 0, done.stderr
    found = [json.loads(line) for done in ran for line in done.stdout.splitlines()]
    assert len(found) == 28
    assert len({(kernel["kernel"], kernel["bits"], kernel["capability"]) for kernel in found}) == 28
    for kernel in found:
        assert kernel["target"] == f".target sm_{kernel['capability'].replace('.', '')}"
        assert kernel["instructions"] > 100
        assert (kernel["calls"], kernel["local_accesses"]) == (0, 0)
        assert (kernel["read_only_loads"] > 0) == (kernel["kernel"] != "pack_bins")
    if any(kernel["registers"] is None for kernel in found):
        pytest.skip("registers and spills: nvJitLink, of the extra cuda, is not installed")
    for kernel in found:
        assert kernel["registers"] <= 255
        assert kernel["stack_bytes"] <= 512
        assert kernel["capped"] <= 128


def test_only_one_file_imports_numba_cuda():
    files = {path.resolve() for room in ("fastq", "kernels") for path in (ROOT / room).rglob("*.py")}
    words = ("numba.cuda", "numba import cuda")
    importers = [path for path in files if any(word in path.read_text(encoding="utf-8") for word in words)]
    assert importers == [ROOT / "kernels" / "cuda.py"]


@pytest.fixture
def without_numba_cuda(monkeypatch):
    why_not_cuda.cache_clear()
    monkeypatch.setattr(backend, "find_spec", lambda _: None)
    yield
    why_not_cuda.cache_clear()


@pytest.mark.usefixtures("without_numba_cuda")
def test_without_the_extra_cuda_says_how_to_install_it_and_auto_is_the_cpu():
    with pytest.raises(BackendUnavailable, match=r"pip install 'fastq-sim\[cuda\]'.*'fastq-sim\[cuda12\]'"):
        choose_backend("cuda")
    assert choose_backend("auto") == choose_backend("cpu") == "cpu"


def test_a_sweep_that_falls_back_says_so_once(tmp_path, capsys, monkeypatch):
    from fastq.cli.main import main

    why_not_cuda.cache_clear()
    monkeypatch.setattr(backend, "find_spec", lambda _: None)
    words = ["sweep", "quickstart", "--set", "run.requests=20", "--set", "run.warmup_requests=5"]
    words += ["--set", "grid.workload.output_scale=[1.0]"]
    try:
        assert main([*words, "--out", str(tmp_path / "out")]) == 0
        assert main([*words, "--out", str(tmp_path / "quiet"), "--quiet"]) == 0
    finally:
        why_not_cuda.cache_clear()
    assert capsys.readouterr().err.count("on the CPU, not a GPU: numba-cuda is not installed") == 1
