"""The SPEC argument and ``--set``, which most commands share."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.model.spec import Spec


def add_spec_argument(parser: argparse.ArgumentParser) -> None:
    """Add SPEC and ``--set`` to a command."""
    parser.add_argument(
        "spec",
        metavar="SPEC",
        help="a TOML file, or the name of a grid that comes with fastq (see 'fastq info')",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=override,
        help="override a key of the spec, as in --set replica.max_num_seqs=512 or "
        "--set 'iteration_time.constant=\"40 ms\"'; may be given several times",
    )


def load(args: argparse.Namespace, more: Sequence[tuple[str, str]] = ()) -> Spec:
    """Load the spec that the arguments name.

    Parameters
    ----------
    args
        Parsed arguments of a command with :func:`add_spec_argument`.
    more
        Further overrides, which win over ``--set``.
    """
    from fastq.model.load import load_spec

    spec: Spec = load_spec(args.spec, [*args.set, *more])
    return spec


def tell_unused(spec: Spec) -> None:
    """Say on standard error that rates, loads or objectives are given where nothing is measured at them.

    That is no error: a spec may hold them, so that ``--set`` alone turns the measure on.
    """
    if spec.slo and "slo" not in spec.run.measure:
        _tell(spec, "slo", "slo", "to search the rate that meets it")
    if spec.rates.any and "rates" not in spec.run.measure:
        key = "load" if spec.rates.loads else "rate_rps"
        _tell(spec, f"arrivals.{key}", "rates", "to measure at it")


def _tell(spec: Spec, key: str, needed: str, purpose: str) -> None:
    measure = ", ".join(f'"{name}"' for name in (*spec.run.measure, needed))
    sys.stderr.write(
        f"fastq: note: {spec.source}: {key} is not used, as run.measure does not hold "
        f"\"{needed}\"; {purpose}, --set 'run.measure=[{measure}]'\n"
    )


def override(text: str) -> tuple[str, str]:
    """Read the KEY=VALUE of ``--set``."""
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, as in replica.max_num_seqs=512")
    return key.strip(), value.strip()
