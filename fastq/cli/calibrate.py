"""``fastq calibrate``: from a log of measured iterations to an iteration time and a replica."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.cli.calibrate_options import SHAPE, add_options, recorded_command
from fastq.cli.exit_status import ExitStatus
from fastq.cli.picture_size import check_size, picture_size

if TYPE_CHECKING:
    from fastq.calibration.beyond_tables import BeyondTables
    from fastq.calibration.calibration import Calibration
    from fastq.calibration.iteration_log import IterationLog
    from fastq.calibration.kv_memory import KvMemory
    from fastq.calibration.model_shape import ModelShape

_DESCRIPTION = """\
Fit the iteration time of a replica to measured iterations: the largest of one to four planes in prefill tokens
P, decoding requests D, their KV tokens K and the attention work A of prefill, none with a negative coefficient."""

_EPILOG = """\
LOG is one of
  a table (.csv, .parquet, .jsonl) with a row an iteration: prefill_tokens, decode_seqs, kv_tokens (of the decoding
    requests, summed), the time as seconds, or time_ms, step_time_us and the like, and attention where there is one;
    --column kv_tokens=cache_len names a column that is called otherwise, --column time_ms=t its unit
  the text log (.log, .txt) of a vLLM server that was started with --enable-logging-iteration-details
  a directory of measured operators (gemm_perf.parquet, context_attention_perf.parquet, ...) as AIConfigurator has
    them; it needs the model, as --model config.json or as --layers, --hidden and so on
  a directory of measured layers (attention.csv, dense.csv, per_sequence.csv) as LLMServingSim has them; it needs
    --layers
  the perf_model.csv of Splitwise; it needs --where model=..., hardware=..., tensor_parallel=...

examples:
  fastq calibrate iterations.csv
  fastq calibrate server.log --name "Llama-3-8B on an A100" -o a100.toml --picture a100.png
  fastq calibrate a100_sxm --model config.json --tensor-parallel 4 --memory-gib 80 -o a100x4.toml

A spec takes the file as replica.catalogue = "./a100.toml", relative to the spec."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit an iteration time to measured iterations",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log", type=Path, metavar="LOG", help="measured iterations, see below")
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, print and write.

    Parameters
    ----------
    args
        Parsed arguments of the command.

    Returns
    -------
    int
        Exit status.
    """
    from fastq.calibration.calibration import calibrate
    from fastq.calibration.model_shape import read_shape
    from fastq.calibration.replica_entry import check_complete
    from fastq.calibration.sources import read_iterations
    from fastq.cli.calibrate_report import json_report, text_report
    from fastq.cli.output_file import write_text

    _check_targets(args)
    given = {name: getattr(args, name) for name in SHAPE}
    # The profile of a layer needs to know how many there are, and nothing else of the model.
    only_layers = (
        args.model is None and args.memory_gib is None and not any(given[name] for name in SHAPE[1:])
    )
    shape = (
        None
        if only_layers
        else read_shape(
            args.model,
            given,
            dtype=args.dtype,
            kv_dtype=args.kv_dtype,
            tensor_parallel=args.tensor_parallel,
        )
    )
    memory = _memory(args, shape)
    capacity = args.kv_capacity_tokens if memory is None else memory.capacity_tokens
    log = read_iterations(
        args.log,
        shape=shape,
        layers=args.layers if shape is None else shape.layers,
        renamed=_once(args.column, "--column"),
        kept=_once(args.where, "--where"),
        kv_capacity_tokens=capacity,
        block_size=args.block_size,
        beyond=_beyond(args),
    )
    _check_cards(args, log, memory)
    capacity = capacity or log.kv_capacity_tokens
    calibration = calibrate(log, args.planes)
    if args.output is not None:
        check_complete(calibration)
    text = _entry(args, calibration, capacity, memory)
    written = []
    if args.picture:
        _draw(args, calibration)
        written.append(args.picture)
    if args.output is not None:
        write_text(args.output, text)
        written.append(str(args.output))
    report = json_report if args.json else text_report
    sys.stdout.write(report(calibration, kv_capacity_tokens=capacity, memory=memory, written=written))
    return ExitStatus.DONE


def _check_targets(args: argparse.Namespace) -> None:
    from fastq.cli.output_file import check_picture, check_target
    from fastq.errors import SpecError

    check_target(args.output, "--output", ".toml")
    check_picture(args.picture, "--picture")
    check_size(args, "--picture FILE", drawn=args.picture is not None)
    if args.memory_gib is not None and args.kv_capacity_tokens is not None:
        raise SpecError(
            "give the capacity, or the memory it is derived from, not both",
            key="--kv-capacity-tokens",
            value=args.kv_capacity_tokens,
        )


def _once(pairs: list[tuple[str, str]], option: str) -> dict[str, str]:
    """Return values by name; refuse a name that is given twice."""
    from fastq.errors import SpecError

    values: dict[str, str] = {}
    for name, value in pairs:
        if values.setdefault(name, value) != value:
            raise SpecError(f"{name} is given twice, as {values[name]} and as {value}", key=option)
    return values


def _beyond(args: argparse.Namespace) -> BeyondTables | None:
    from fastq.calibration.beyond_tables import BeyondTables

    beyond = BeyondTables(args.memory_bandwidth_gb_s, args.mixed_attention)
    return None if beyond == BeyondTables() else beyond


def _memory(args: argparse.Namespace, shape: ModelShape | None) -> KvMemory | None:
    from fastq.calibration.kv_memory import kv_memory
    from fastq.errors import SpecError

    if args.memory_gib is None:
        return None
    if shape is None:
        raise SpecError(
            "needs the model, for its weights and what a token takes: --model config.json, or "
            "--layers, --hidden and so on",
            key="--memory-gib",
            value=args.memory_gib,
        )
    return kv_memory(
        shape,
        card_gib=args.memory_gib,
        utilisation=args.utilisation,
        reserve_gib=args.reserve_gib,
        block_size=args.block_size,
    )


def _check_cards(args: argparse.Namespace, log: IterationLog, memory: KvMemory | None) -> None:
    """Refuse another number of cards than the log tells; 1 is no number where nothing was derived for it."""
    from fastq.errors import SpecError

    if log.gpus in (None, args.tensor_parallel) or (args.tensor_parallel == 1 and memory is None):
        return
    raise SpecError(
        f"{log.name} tells of {log.gpus} cards that share each layer: give --tensor-parallel {log.gpus}, or the log "
        f"of a replica of {args.tensor_parallel}",
        key="--tensor-parallel",
        value=args.tensor_parallel,
    )


def _entry(
    args: argparse.Namespace, calibration: Calibration, capacity: int | None, memory: KvMemory | None
) -> str:
    from fastq.calibration.replica_entry import Origin, entry_text
    from fastq.cli.info import fastq_version

    if memory is not None:
        capacity_text = memory.text()
    elif args.kv_capacity_tokens is not None:
        capacity_text = "Given on the command line."
    elif capacity is not None:
        capacity_text = (
            "As the server printed it when it started, less the one block that vLLM counts and never uses."
        )
    else:
        capacity_text = "Not known: a spec has to give replica.kv_capacity_tokens."
    origin = Origin(
        name=args.name or f"Replica calibrated from {calibration.log.name}",
        source=args.source,
        licence=args.licence,
        command=recorded_command(args),
        version=fastq_version(),
    )
    return entry_text(
        calibration,
        origin,
        kv_capacity_tokens=capacity,
        kv_capacity_text=capacity_text,
        block_size=args.block_size,
        gpus=calibration.log.gpus or args.tensor_parallel,
    )


def _draw(args: argparse.Namespace, calibration: Calibration) -> None:
    from fastq.calibration.fit_errors import batch_kinds
    from fastq.plot import style
    from fastq.plot.calibration import draw_calibration

    size = picture_size(args)
    figure = draw_calibration(
        calibration.log.seconds,
        calibration.fitted_s,
        batch_kinds(calibration.log),
        title=args.name or f"{calibration.log.name}: fitted against measured iterations",
        note=f"Iteration time: {_shown(calibration)}.\n{_error_note(calibration)}",
        size=size,
    )
    style.save(figure, args.picture, size=size)


def _shown(calibration: Calibration) -> str:
    from fastq.model.iteration_time import shown_planes, shown_terms
    from fastq.plot.labels import with_micro_signs

    time = calibration.iteration_time
    parts = (shown_planes(time.planes), shown_terms(time.terms))
    return with_micro_signs(" + ".join(part for part in parts if part))


def _error_note(calibration: Calibration) -> str:
    whole = calibration.errors[0]
    return (
        f"Relative error of {whole.rows:,} batches: median {whole.median:.1%}, 90th percentile {whole.p90:.1%}, worst "
        f"{whole.worst:.1%}. Right: a mark a batch; bars from 5% to 95% and from 25% to 75% of them, dot: median."
    )
