"""``fastq calibrate``: from a log of measured iterations to an iteration time and a replica."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from fastq.calibration.calibration import Calibration
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

_SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_size", "intermediate", "vocab")
_DTYPES = ("bfloat16", "float16", "fp8", "fp8_block")
_KV_DTYPES = ("bfloat16", "float16", "fp8")
_PLANES = (1, 2, 3, 4)
_UTILISATION = 0.9
_RESERVE_GIB = 2.0
_BLOCK_SIZE = 16


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
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--column",
        metavar="OURS=THEIRS",
        action="append",
        default=[],
        type=_pair,
        help="name of a column in the file, as in kv_tokens=cache_len; may be given several times",
    )
    reading.add_argument(
        "--where",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        type=_pair,
        help="read only rows with this value; may be given several times",
    )
    fitting = parser.add_argument_group("fitting")
    fitting.add_argument(
        "--planes",
        type=int,
        choices=_PLANES,
        help="how many planes (default: the fewest within one standard error of the best, by cross-validation)",
    )
    model = parser.add_argument_group("model (for tables of operators, and for its memory)")
    model.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="config.json of the model, as on Hugging Face, or its directory",
    )
    for name in _SHAPE:
        flag = f"--{name.replace('_', '-')}"
        model.add_argument(flag, type=_at_least_one, metavar="N", help=_SHAPE_HELP[name])
    model.add_argument(
        "--dtype", choices=_DTYPES, help="type of the weights (default: the model's, else bfloat16)"
    )
    model.add_argument(
        "--kv-dtype",
        choices=_KV_DTYPES,
        default="bfloat16",
        help="type of the KV cache (default: %(default)s)",
    )
    model.add_argument(
        "--tensor-parallel",
        type=_at_least_one,
        default=1,
        metavar="N",
        help="cards that share each layer (default: %(default)s)",
    )
    memory = parser.add_argument_group("KV memory (of a replica that is written)")
    memory.add_argument(
        "--kv-capacity-tokens", type=_at_least_one, metavar="N", help="KV capacity where it is known, tokens"
    )
    memory.add_argument(
        "--memory-gib",
        type=_positive,
        metavar="GIB",
        help="memory of a card, from which the capacity is derived",
    )
    memory.add_argument(
        "--utilisation",
        type=_share,
        default=_UTILISATION,
        metavar="SHARE",
        help="share of it that the engine takes (default: %(default)s)",
    )
    memory.add_argument(
        "--reserve-gib",
        type=_not_negative,
        default=_RESERVE_GIB,
        metavar="GIB",
        help="taken on each card by activations, CUDA graphs, collectives and the runtime (default: %(default)s)",
    )
    memory.add_argument(
        "--block-size",
        type=_at_least_one,
        default=_BLOCK_SIZE,
        metavar="N",
        help="KV tokens per block (default: %(default)s)",
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument("-o", "--output", type=Path, metavar="FILE", help="replica file to write, .toml")
    writing.add_argument(
        "--name", default="", metavar="TEXT", help="what was measured, to keep with the replica"
    )
    writing.add_argument(
        "--source", default="", metavar="TEXT", help="where the measurements come from, to keep"
    )
    writing.add_argument("--licence", default="", metavar="TEXT", help="licence of the measurements, to keep")
    writing.add_argument(
        "--picture", metavar="FILE", help="picture of fitted against measured: .png, .svg or .pdf"
    )
    writing.add_argument(
        "--size", choices=("page", "slide"), default="page", help="made for a page or a slide (default: page)"
    )
    writing.add_argument("--json", action="store_true", help="print one JSON object")
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
    from fastq.calibration.replica_entry import check_complete, write_entry
    from fastq.calibration.sources import read_iterations
    from fastq.cli.calibrate_report import json_report, text_report

    _check_targets(args)
    given = {name: getattr(args, name) for name in _SHAPE}
    # The profile of a layer needs to know how many there are, and nothing else of the model.
    only_layers = (
        args.model is None and args.memory_gib is None and not any(given[name] for name in _SHAPE[1:])
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
        renamed=dict(args.column),
        kept=dict(args.where),
        kv_capacity_tokens=capacity,
        block_size=args.block_size,
    )
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
        write_entry(args.output, text)
        written.append(str(args.output))
    report = json_report if args.json else text_report
    sys.stdout.write(report(calibration, kv_capacity_tokens=capacity, memory=memory, written=written))
    return ExitStatus.DONE


def _check_targets(args: argparse.Namespace) -> None:
    from fastq.errors import SpecError

    if args.output is not None and args.output.suffix != ".toml":
        raise SpecError(
            "a replica file is TOML; give a name that ends in .toml", key="--output", value=str(args.output)
        )
    if args.picture:
        from fastq.plot.style import check_ending

        check_ending(args.picture)
    for option, path in (("--output", args.output), ("--picture", args.picture and Path(args.picture))):
        if path and not path.absolute().parent.is_dir():
            raise SpecError("there is no such directory; make it first", key=option, value=str(path.parent))
    if args.memory_gib is not None and args.kv_capacity_tokens is not None:
        raise SpecError(
            "give the capacity, or the memory it is derived from, not both",
            key="--kv-capacity-tokens",
            value=args.kv_capacity_tokens,
        )


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
        command=_command(args),
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

    size = style.SIZES[args.size]
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

    time = calibration.iteration_time
    return " + ".join(part for part in (shown_planes(time.planes), shown_terms(time.terms)) if part)


def _error_note(calibration: Calibration) -> str:
    whole = calibration.errors[0]
    return (
        f"Relative error of {whole.rows:,} batches: median {whole.median:.1%}, 90th percentile {whole.p90:.1%}, worst "
        f"{whole.worst:.1%}. Right: a mark a batch; bars from 5% to 95% and from 25% to 75% of them, dot: median."
    )


def _command(args: argparse.Namespace) -> str:
    """Command that makes the file again: names of files without their directories, defaults left out."""
    from fastq.model.reading import shown_number

    words = ["fastq", "calibrate", args.log.name]
    words += [
        word
        for option in ("column", "where")
        for pair in getattr(args, option)
        for word in (f"--{option}", "=".join(pair))
    ]
    if args.model is not None:
        words += ["--model", args.model.name]
    options: dict[str, object] = dict.fromkeys(("planes", *_SHAPE, "dtype"))
    options |= {"kv_dtype": "bfloat16", "tensor_parallel": 1, "kv_capacity_tokens": None, "memory_gib": None}
    options |= {"utilisation": _UTILISATION, "reserve_gib": _RESERVE_GIB, "block_size": _BLOCK_SIZE}
    options |= dict.fromkeys(("name", "source", "licence"), "")
    for name, default in options.items():
        value = getattr(args, name)
        if value != default:
            shown = shown_number(value) if isinstance(value, float) else str(value)
            words += [f"--{name.replace('_', '-')}", shown]
    return shlex.join([*words, "-o", args.output.name] if args.output is not None else words)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, as in kv_tokens=cache_len")
    return name.strip(), value.strip()


def _at_least_one(text: str) -> int:
    try:
        number = int(text.replace("_", ""))
    except ValueError:
        number = 0
    if not 1 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return number


def _number(text: str, low: float, high: float, accepted: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {accepted}")
    return number


def _positive(text: str) -> float:
    return _number(text, 1e-3, 1e6, "a number of GiB above 0")


def _not_negative(text: str) -> float:
    return _number(text, 0.0, 1e6, "a number of GiB, 0 or more")


def _share(text: str) -> float:
    return _number(text, 1e-6, 1.0, "a share above 0, at most 1")


_SHAPE_HELP = {
    "layers": "layers of the model",
    "hidden": "hidden size",
    "heads": "attention heads",
    "kv_heads": "KV heads (default: as many as heads)",
    "head_size": "size of a head (default: hidden / heads)",
    "intermediate": "inner size of the feed-forward part",
    "vocab": "entries of the vocabulary",
}
