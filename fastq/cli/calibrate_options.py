"""Options of ``fastq calibrate``, and the command that repeats a calibration."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from fastq.cli.picture_size import add_size

SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_size", "intermediate", "vocab")
_DTYPES = ("bfloat16", "float16", "fp8", "fp8_block")
_KV_DTYPES = ("bfloat16", "float16", "fp8")
_PLANES = (1, 2, 3, 4)
_UTILISATION = 0.9
_RESERVE_GIB = 2.0
_BLOCK_SIZE = 16


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all but the log."""
    _add_reading_and_fitting(parser)
    _add_model(parser)
    _add_beyond_tables(parser)
    _add_memory(parser)
    _add_writing(parser)


def _add_reading_and_fitting(parser: argparse.ArgumentParser) -> None:
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


def _add_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model (for tables of operators, and for its memory)")
    model.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="config.json of the model, as on Hugging Face, or its directory",
    )
    for name in SHAPE:
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
        help="cards that share each layer (default: %(default)s); a log or a profile has their times already, and is "
        "only told how many GPUs they take",
    )


def _add_beyond_tables(parser: argparse.ArgumentParser) -> None:
    beyond = parser.add_argument_group("what tables of operators lack")
    beyond.add_argument(
        "--memory-bandwidth-gb-s",
        type=_bandwidth,
        metavar="GB/s",
        help="memory bandwidth of a card, to count norms and activations by (default: they are not counted)",
    )
    beyond.add_argument(
        "--mixed-attention",
        type=_factor,
        default=1.0,
        metavar="FACTOR",
        help="time of decode attention in a batch that also prefills, over its time alone (default: 1; an RTX 4090 "
        "with FlashAttention 2: 1.91)",
    )


def _add_memory(parser: argparse.ArgumentParser) -> None:
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


def _add_writing(parser: argparse.ArgumentParser) -> None:
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
    add_size(writing)
    writing.add_argument("--json", action="store_true", help="print one JSON object")


def recorded_command(args: argparse.Namespace) -> str:
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
    options: dict[str, object] = dict.fromkeys(("planes", *SHAPE, "dtype"))
    options |= {"kv_dtype": "bfloat16", "tensor_parallel": 1}
    options |= {"memory_bandwidth_gb_s": None, "mixed_attention": 1.0}
    options |= {"kv_capacity_tokens": None, "memory_gib": None}
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


def _bandwidth(text: str) -> float:
    return _number(text, 10.0, 1e5, "a memory bandwidth in GB/s, 10 to 100,000 (an A100 has 2,039)")


def _factor(text: str) -> float:
    return _number(text, 1.0, 20.0, "a factor from 1 to 20")


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
