"""``fastq help``: the help of a command, or of the spec file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    import argparse

_SPEC = """\
A spec is a TOML file. Only a workload, a KV capacity and an iteration time are required.

[workload]               lengths of prompts and outputs, tokens
  prompt_tokens            a law: { constant = 500 }, { uniform = [10, 1600] } (both ends included),
  output_tokens            { geometric = { mean = 200 } } (from 1), or { lognormal = { mean = 800, cv = 1.2,
                           max = 8000 } } (mean and cv before the cut at max)
  catalogue                or a workload that comes with fastq ('fastq info' lists them)
  trace                    or a file of requests: CSV (also with Azure's column names), Parquet, JSON Lines
  prompt_scale             every length times this, rounded, at least 1                 (default 1)
  output_scale                                                                          (default 1)
[arrivals]               when requests come: for every measure but "boundary"
  process                  "poisson", "gamma", "weibull", "deterministic", or "trace":  (default "poisson")
                           the requests of workload.trace, in order, its arrival times stretched to each rate
  interarrival_cv          coefficient of variation of the times between arrivals: of "gamma", up to 20, and "weibull",
                           up to 8; 1 is as Poisson, 3 is bursty
  round_robin              replicas that take turns: of n this one gets every nth       (default 1)
                           request; rates are its own
  rate_rps                 arrival rates, requests/s: a number or a list (for "rates"); "trace": that of the trace; or
  load                     the same as shares of the theoretical boundary
[slo]                    only for measure "slo": the largest rate that meets all of them is searched; queues start
                         empty, so it falls a little as run.requests grow
  wait, ttft, tpot, e2e    percentiles and what they may be at most: { p50 = "200 ms", p99 = "2 s", p99_9 = "5 s" }
[replica]                one inference engine
  catalogue                fills replica and iteration_time: a name ('fastq info' lists them), or the path of a
                           file such as 'fastq calibrate' writes, "./engine.toml"
  kv_capacity_tokens       KV cache capacity, tokens                                    (required)
  block_size               KV tokens per block                                          (default 16)
  max_num_seqs             largest number of running requests, or "unlimited"           (default 256)
  max_num_batched_tokens   token budget of an iteration, or "unlimited"                 (default 2048)
  prefill_chunk_tokens     most prompt tokens of one request in an iteration            (default the budget)
  watermark                share of blocks that an admission leaves free                (default 0)
  max_model_len            longer requests (prompt + output) are rejected               (default none)
[iteration_time]         how long one iteration takes
  constant                 a duration with its unit: "37.2 ms"; or
  planes                   a list; the largest of them counts:
                           { base_ms, prefill_token_us, decode_seq_us, kv_token_ns, attention_ps }
  host_ms                  added to that: what the host adds to every iteration         (default 0)
  prefill_seq_us           for each prompt in prefill in the batch                      (default 0)
  finished_prompt_us       for each prompt whose last chunk is in the batch             (default 0)
  prefill_kv_token_ns      for each token of a prompt cached before its chunk           (default 0)
  prefill_ms               where the batch prefills                                     (default 0)
  mixed_ms                 where it both prefills and decodes                           (default 0)
  mixed_kv_token_ns        for each KV token of its decoding requests where it does     (default 0)
  jump_ms                  where it has more than jump_beyond_tokens prefill tokens and (default 0)
  jump_beyond_tokens       decoding requests together (of a replica's file: all these hold with its own planes only)
[scheduler]
  preset                   "vllm" or "paper"                                            (default "vllm")
  admission                "chunk", "prompt", "peak" or "lookahead"                     (the preset's)
  preemption               "recompute" or "restart"                                     (the preset's)
  token_convention         "engine" or "paper"                                          (the preset's)
[run]
  measure                  any of "boundary", "rates", "slo", "metastability"          (default ["boundary"])
                           ("metastability": the largest rate sustained from an empty start, cold_rate_rps)
  seed                     64-bit                                                       (default 1)
  replications             independent runs of a point, at least 2                      (default 8)
  requests                 completed in the window of a replication; where a trace is   (default 20000)
                           replayed at a rate, whole rounds of it of at least so many
  warmup_requests          completed before it             (default max(1000, 10 x most running so far), and a
                           round of a trace that is replayed)
  precision                relative half-width (95%) at which a point stops, after      (default fixed length)
                           no fewer than "requests"
  max_requests             most requests with precision                                (default 64 x requests)
  common_random_numbers    same draws at every point                                    (default true)
  infeasible               "error", or "skip" points with a request that can never fit  (default "error")
[grid]                   axes: every combination of values is one point; the first varies slowest
  "replica.max_num_seqs" = [64, 256, 1024]
  "replica.kv_capacity_tokens" = { geometric = [16_000, 512_000, 32] }
  "workload.output_scale" = { linear = [0.25, 4.0, 16] }
[[cases]]                one more axis, of tables that vary several keys together
  name = "2:1"
  workload.prompt_tokens = { uniform = [10, 2133] }
  workload.output_tokens = { uniform = [10, 1066] }
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "help",
        help="help on a command, or 'help spec' on the spec file",
        description="Print the help of a command, or with 'spec' every key of a spec file.",
    )
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="a command, or 'spec'")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the help of the topic."""
    from fastq.cli.main import build_parser

    if args.topic == "spec":
        sys.stdout.write(_SPEC)
        return ExitStatus.DONE
    build_parser().parse_args([args.topic, "--help"] if args.topic else ["--help"])
    return ExitStatus.DONE
