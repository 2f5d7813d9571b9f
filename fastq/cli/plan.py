"""``fastq plan``: how many GPUs of which kind serve a demand within limits, and what that costs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from fastq.cli.exit_status import ExitStatus
from fastq.cli.picture_size import add_size, check_size, picture_size
from fastq.cli.spec_argument import override

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from fastq.engine.plan_result import PlannedOption, PlanResult
    from fastq.model.plan import Plan

_EPILOG = """\
A plan is a TOML file:
  title, currency              texts; prices are in that currency
  [demand]
    workload                   as the [workload] of a spec ('fastq help spec'); or several [[demand.workload]], each
                               with a share of the requests (and a name), which are mixed into one law
    peak_rps                   arrival rate at the peak, requests/s; or
    hourly_rps                 24 of them, from midnight; or "trace": the rates of demand.workload.trace, by hour
    growth                     factor on the rates                                        (default 1)
    arrivals                   when requests come: { process = "poisson" }, split among the replicas at random
                               (default); { process = "gamma", interarrival_cv = 3 } or { process = "trace" }, those of
                               demand.workload.trace at the rate of the peak, dealt out to the replicas in turn
  [limits]
    wait, ttft, tpot, e2e      as the [slo] of a spec: { p50 = "200 ms", p99 = "2 s" }    (default none)
    target_load                largest share of the boundary that is used                 (default 0.8)
    confidence                 of the intervals whose lower ends count                    (default 0.95)
  [[option]]                   one kind of replica; as many as you like
    name
    replica, iteration_time, scheduler       as in a spec
    gpus_per_replica           (known for some entries of the catalogue)                  (required)
    price_per_gpu_hour         for all options, or none
  [run]                        seed, replications, requests, ... as in a spec

The fleet is the fewest replicas that keep every one of them, at the peak, within target_load of its boundary of
stability and within the limits, by the lower ends of the intervals. In the table "sized by" is what sets the count, and
"one less fails" what one replica less would not keep to.

examples:
  fastq plan chat-and-code                                    a plan that comes with fastq; its prices are made up
  fastq plan plan.toml --set demand.growth=2 --set 'limits.ttft={p99="1 s"}'
  fastq plan plan.toml --set 'demand.arrivals={process="trace"}'
  fastq plan plan.toml --markdown -o plan.md --picture day.svg
  fastq plan plan.toml --from results                         nothing is simulated: interpolated in a finished sweep

exit status: 3 where no option is feasible"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "plan",
        help="how many GPUs of which kind a demand takes, and what they cost",
        description="Size a fleet for a demand and latency limits: for each option the fewest replicas, what they "
        "leave in hand, the latencies to expect and the cost, with intervals; the cheapest is marked.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "plan",
        metavar="PLAN",
        help="a TOML file, or the name of a plan that comes with fastq (see 'fastq info')",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=override,
        help="override a key of the plan, as in --set demand.peak_rps=80; replica.*, scheduler.* and "
        "price_per_gpu_hour hold for every option; may be given several times",
    )
    parser.add_argument(
        "--from", dest="data_set", metavar="DIR", help="interpolate in the data set of a finished sweep"
    )
    parser.add_argument(
        "--backend", choices=("auto", "cpu", "cuda"), default="auto", help="what simulates (default: auto)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: by the usable CPUs)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")
    form.add_argument(
        "--csv", action="store_true", help="print a line of CSV for each option, with every column"
    )
    form.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-o", "--output", metavar="FILE", help="write what would be printed to a file")
    parser.add_argument("--parquet", metavar="FILE", help="write every column, a row per option, as Parquet")
    parser.add_argument(
        "--save-workload",
        metavar="FILE.parquet",
        help="write the mixed workload, for the workload.trace of a spec whose sweep --from is to be asked",
    )
    parser.add_argument(
        "--picture", metavar="FILE", help="draw the day (needs hourly_rps): .svg, .pdf or .png"
    )
    parser.add_argument(
        "--option", metavar="NAME", help="option to draw (default: the cheapest, or the fewest GPUs)"
    )
    add_size(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Work the plan out, print it, and write the files that were asked for."""
    from fastq.cli.output_file import check_target, refuse_shared, write_table, write_text
    from fastq.engine.executors import refuse_counts
    from fastq.model.load_plan import load_plan

    refuse_counts(threads=args.threads)
    check_size(args, "--picture FILE", drawn=args.picture is not None)
    output = check_target(args.output, "-o")
    parquet = check_target(args.parquet, "--parquet", ".parquet")
    plan = load_plan(args.plan, args.set)
    picture = _check_picture(args, plan)
    workload = check_target(args.save_workload, "--save-workload", ".parquet")
    refuse_shared({"-o": output, "--parquet": parquet, "--picture": picture, "--save-workload": workload})
    if workload is not None:
        write_table(workload, _workload(plan))
        _wrote(workload)
    result = _answer(args, plan)
    text = _text(args, result)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
        _wrote(output)
    if parquet is not None:
        write_table(parquet, result.table())
        _wrote(parquet)
    if picture is not None:
        _draw(args, result, picture)
    return ExitStatus.DONE if result.cheapest is not None else ExitStatus.NOTHING_FEASIBLE


def _check_picture(args: argparse.Namespace, plan: Plan) -> Path | None:
    """Refuse a picture that can't be drawn, before anything is simulated."""
    from fastq.cli.output_file import check_picture
    from fastq.errors import SpecError
    from fastq.model.reading import nearest

    names = [option.name for option in plan.options]
    if args.option is not None and args.option not in names:
        meant = nearest(args.option, names)
        raise SpecError(
            f"no such option{meant and f'; did you mean {meant!r}?'} (there are: {', '.join(names)})",
            key="--option",
            value=args.option,
        )
    picture = check_picture(args.picture, "--picture")
    if args.option is not None and picture is None:
        raise SpecError(
            "is what to draw, and no picture is asked for: give --picture FILE too, or leave --option out",
            key="--option",
            value=args.option,
        )
    if picture is not None and plan.demand.hourly_rps is None:
        raise SpecError(
            "is missing: a picture shows the day, give 24 rates in place of peak_rps",
            source=plan.source,
            key="demand.hourly_rps",
        )
    return picture


def _workload(plan: Plan) -> pa.Table:
    """Return the mixed workload as a trace."""
    import pyarrow as pa

    from fastq.errors import SpecError

    if not plan.demand.mixture:
        raise SpecError(
            "only a mixed workload is written: a spec can name any other as the plan does",
            key="--save-workload",
        )
    law = plan.spec(plan.options[0]).point(0).law
    return pa.table({"prompt_tokens": law.prompt_tokens, "output_tokens": law.output_tokens})


def _answer(args: argparse.Namespace, plan: Plan) -> PlanResult:
    if args.data_set is not None:
        from fastq.engine.plan_from import answer_from

        return answer_from(plan, args.data_set)
    from fastq.cli.compile_notice import compile_notice
    from fastq.engine.cpus import usable_cpus
    from fastq.engine.plan import answer_by_simulation, warm_up_plan

    with compile_notice():
        warm_up_plan(plan)

    def began(number: int) -> None:
        if sys.stderr.isatty():
            name = plan.options[number].name
            sys.stderr.write(f"\r\033[Ksimulating {number + 1} of {len(plan.options)}: {name}")
            sys.stderr.flush()

    try:
        return answer_by_simulation(
            plan, threads=args.threads or usable_cpus(), backend=args.backend, began=began
        )
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")


def _text(args: argparse.Namespace, result: PlanResult) -> str:
    if args.csv:
        return _csv(result)
    if args.json:
        import json

        return json.dumps(_document(result)) + "\n"
    from fastq.cli.plan_report import report

    return report(result, markdown=args.markdown)


def _csv(result: PlanResult) -> str:
    import csv
    import io

    from fastq.store.plan_schema import OPTIONS

    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in OPTIONS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.rows())
    return text.getvalue()


def _document(result: PlanResult) -> dict[str, Any]:
    plan, cheapest = result.plan, result.cheapest
    hourly_rps = plan.demand.hourly_rps
    return {
        "title": plan.title,
        "currency": plan.currency,
        "origin": result.origin,
        "notes": list(result.notes),
        "peak_rps": plan.demand.peak_rps,
        "hourly_rps": None if hourly_rps is None else list(hourly_rps),
        "mixture": plan.demand.mixture or None,
        "arrivals": {
            "process": plan.demand.arrivals.process,
            "interarrival_cv": plan.demand.arrivals.interarrival_cv,
        },
        "limits": [f"{one.latency} {one.text}" for one in plan.limits.objectives],
        "target_load": plan.limits.target_load,
        "confidence": plan.limits.confidence,
        "cheapest": None if cheapest is None else cheapest.name,
        "options": [
            row | {"replicas_by_hour": None if option.day is None else list(option.day.replicas)}
            for row, option in zip(result.rows(), result.options, strict=True)
        ],
    }


def _draw(args: argparse.Namespace, result: PlanResult, path: Path) -> None:
    from fastq.plot import style
    from fastq.plot.day import draw_day

    option: PlannedOption | None = result.cheapest
    if args.option is not None:
        option = next(one for one in result.options if one.name == args.option)
    if option is None or option.day is None:
        sys.stderr.write(f"fastq: note: {path} was not drawn: no feasible option to draw\n")
        return
    size = picture_size(args)
    style.save(draw_day(result, option, size=size), path, size=size)
    _wrote(path)


def _wrote(path: Path) -> None:
    sys.stderr.write(f"wrote {path}\n")
