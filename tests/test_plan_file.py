"""Plan files: what they say, and what is said of those that can't be used."""

from __future__ import annotations

import copy
import tomllib
from typing import TYPE_CHECKING

import pytest

from fastq.errors import SpecError
from fastq.model.load_plan import load_plan, parse_plan

if TYPE_CHECKING:
    from pathlib import Path

GOOD = tomllib.loads("""
title = "a plan"
currency = "EUR"
[demand]
workload = { prompt_tokens = { constant = 1 }, output_tokens = { constant = 1 } }
peak_rps = 40
growth = 1.5
[limits]
ttft = { p99 = "2 s" }
target_load = 0.7
confidence = 0.9
[[option]]
name = "one"
gpus_per_replica = 2
price_per_gpu_hour = 3
replica.kv_capacity_tokens = 100
iteration_time.constant = "10 ms"
[[option]]
name = "catalogue"
price_per_gpu_hour = 1
replica.catalogue = "a100x4-llama-3-70b"
[run]
requests = 100
""")


def changed(path, value):
    """The good plan with another value; ``None`` removes the key."""
    document = copy.deepcopy(GOOD)
    table = document
    for name in path[:-1]:
        table = table[name]
    if value is None:
        del table[path[-1]]
    else:
        table[path[-1]] = value
    return document


def test_what_a_plan_says():
    plan = parse_plan(GOOD, source="plan.toml")
    assert plan.demand.peak_rps == 60
    assert plan.demand.hourly_rps is None
    assert plan.limits.target_load == 0.7
    assert plan.limits.confidence == 0.9
    assert [objective.name for objective in plan.limits.objectives] == ["ttft_p99"]
    assert [option.gpus_per_replica for option in plan.options] == [2, 4]
    assert plan.run.measure == ("boundary", "slo")
    assert plan.run.infeasible == "skip"
    point = plan.spec(plan.options[0]).point(0)
    assert point.replica.kv_capacity_tokens == 100
    assert point.law.prompt_tokens.tolist() == [1]


def test_defaults():
    document = changed(["limits"], None)
    plan = parse_plan(document)
    assert (plan.limits.target_load, plan.limits.confidence, plan.limits.objectives) == (0.8, 0.95, ())
    assert plan.run.measure == ("boundary",)


def test_hours_grow_too():
    hours = [float(hour) for hour in range(24)]
    document = changed(["demand", "peak_rps"], None)
    document["demand"]["hourly_rps"] = hours
    plan = parse_plan(document)
    assert plan.demand.hourly_rps == tuple(1.5 * hour for hour in hours)
    assert plan.demand.peak_rps == 34.5


def test_workloads_are_mixed():
    parts = [
        {"name": "a", "share": 3, "prompt_tokens": {"constant": 10}, "output_tokens": {"constant": 2}},
        {"name": "b", "share": 1, "prompt_tokens": {"constant": 2}, "output_tokens": {"constant": 3}},
    ]
    plan = parse_plan(changed(["demand", "workload"], parts))
    assert plan.demand.mixture == "0.75 a + 0.25 b"
    assert sorted(plan.spec(plan.options[0]).point(0).law.prompt_tokens.tolist()) == [2, 10, 10, 10]


def test_scales_of_a_part_are_applied_before_it_is_mixed():
    parts = [
        {"share": 1, "prompt_tokens": {"constant": 10}, "output_tokens": {"constant": 2}, "prompt_scale": 2},
        {"share": 1, "prompt_tokens": {"constant": 2}, "output_tokens": {"constant": 3}},
    ]
    plan = parse_plan(changed(["demand", "workload"], parts))
    assert sorted(plan.spec(plan.options[0]).point(0).law.prompt_tokens.tolist()) == [2, 20]


def write_trace(path: Path, hours: float, every_s: float) -> None:
    rows = [f"{second:.1f},10,20" for second in [every_s * k for k in range(int(hours * 3600 / every_s))]]
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")


def test_the_hours_of_a_trace(tmp_path):
    write_trace(tmp_path / "day.csv", 24, 10)
    document = changed(["demand"], {"workload": {"trace": "day.csv"}, "hourly_rps": "trace"})
    plan = parse_plan(document, directory=tmp_path)
    assert plan.demand.hourly_rps == pytest.approx([0.1] * 24, rel=0.01)


def test_of_several_days_the_fullest_counts(tmp_path):
    first = [f"{100 * k},10,20" for k in range(36 * 24)]
    second = [f"{86400 + 50 * k},10,20" for k in range(72 * 12)]
    third = [f"{86400 + 12 * 3600 + 400 * k},10,20" for k in range(9 * 12)]
    rows = "\n".join([*first, *second, *third])
    (tmp_path / "days.csv").write_text(f"arrival_s,prompt_tokens,output_tokens\n{rows}\n")
    document = changed(["demand"], {"workload": {"trace": "days.csv"}, "hourly_rps": "trace"})
    plan = parse_plan(document, directory=tmp_path)
    assert plan.demand.hourly_rps == pytest.approx([0.02] * 12 + [0.01] * 12)


def test_a_trace_that_is_no_day_or_has_no_times(tmp_path):
    write_trace(tmp_path / "hour.csv", 1, 10)
    (tmp_path / "timeless.csv").write_text("prompt_tokens,output_tokens\n1,2\n")
    for name, why in (("hour.csv", "covers 1 hours, not a day of 24"), ("timeless.csv", "no arrival times")):
        document = changed(["demand"], {"workload": {"trace": name}, "hourly_rps": "trace"})
        with pytest.raises(SpecError, match=rf"demand\.hourly_rps = 'trace': .*{why}"):
            parse_plan(document, directory=tmp_path)


BAD = [
    (["titel"], "x", r"plan\.toml: titel = 'x': unknown key; did you mean title\?"),
    (["peak_rps"], 3, r"peak_rps = 3: unknown key; did you mean demand\.peak_rps\?"),
    (["replica"], {}, r"replica = \{\}: unknown key; did you mean option\.replica\?"),
    (["currency"], 3, r"currency = 3: must be a text"),
    (["demand"], None, r"demand: is missing: a plan needs a workload"),
    (["demand", "peak_rp"], 3, r"demand\.peak_rp = 3: unknown key; did you mean peak_rps\?"),
    (["demand", "peak_rps"], None, r"demand\.peak_rps: is missing"),
    (["demand", "peak_rps"], 0, r"demand\.peak_rps = 0\.0: must be above 0"),
    (["demand", "peak_rps"], -1, r"demand\.peak_rps = -1: must be a number >= 0"),
    (["demand", "peak_rps"], "40", r"demand\.peak_rps = '40': must be a number"),
    (
        ["demand", "hourly_rps"],
        [1] * 24,
        r"demand\.peak_rps = 40: can't be given together with demand\.hourly_rps",
    ),
    (["demand", "growth"], 0, r"demand\.growth = 0: must be a number >= 0\.001"),
    (["demand", "workload"], None, r"demand\.workload: is missing"),
    (["demand", "workload"], [], r"demand\.workload = \[\]: must be a table, or a list of at least one"),
    (
        ["demand", "workload"],
        {"catalog": "x"},
        r"workload\.catalog = 'x': unknown key; did you mean catalogue\?",
    ),
    (
        ["demand", "workload"],
        {"prompt_tokens": {"constant": 1}},
        r"demand\.workload\.output_tokens: is missing",
    ),
    (["demand", "workload"], {"catalogue": "azure"}, r"demand\.workload\.catalogue = 'azure': no such entry"),
    (
        ["demand", "workload"],
        {"catalogue": "azure-conv-2023", "trace": "x.csv"},
        r"demand\.workload\.trace = 'x\.csv': can't be given together with workload\.catalogue",
    ),
    (
        ["demand", "workload"],
        [{"catalogue": "azure-conv-2023", "share": 1}, {"catalogue": "azure-code-2023"}],
        r"demand\.workload\[1\]\.share: is missing",
    ),
    (
        ["demand", "workload"],
        [{"catalogue": "azure-conv-2023", "share": 0}, {"catalogue": "azure-code-2023", "share": 1}],
        r"demand\.workload\[0\]\.share = 0: must be a number",
    ),
    (
        ["demand", "arrivals"],
        {"process": "weibull", "interarrival_cv": 2},
        r"demand\.arrivals\.process = 'weibull': must be",
    ),
    (["demand", "arrivals"], {"process": "gamma"}, r"demand\.arrivals\.interarrival_cv: is missing"),
    (["demand", "arrivals"], {"round_robin": 3}, r"demand\.arrivals\.round_robin = 3: unknown key"),
    (
        ["demand", "arrivals"],
        {"process": "trace"},
        r"demand\.arrivals\.process = 'trace': .* lengths are laws",
    ),
    (["demand", "arrivals"], "trace", r"demand\.arrivals = 'trace': must be a table"),
    (["limits", "p99"], "2 s", r"limits\.p99 = '2 s': unknown key"),
    (["limits", "ttft"], {"p99": 2}, r"limits\.ttft\.p99 = 2: must be a duration"),
    (["limits", "target_load"], 1.1, r"limits\.target_load = 1\.1: must be a number >= 0\.01 and <= 1"),
    (["limits", "confidence"], 1, r"limits\.confidence = 1: must be a number >= 0\.5 and <= 0\.9999"),
    (["option"], None, r"option: is missing: must be a list of tables"),
    (["option"], [], r"option = \[\]: must be a list of tables"),
    (["option", 0, "name"], None, r"option\[0\]\.name: every option needs a name"),
    (
        ["option", 0, "name"],
        "catalogue",
        r"option\[1\]\.name = 'catalogue': every option needs a name of its own",
    ),
    (
        ["option", 0, "gpus_per_replica"],
        None,
        r"option\[0\]\.gpus_per_replica: is missing: give the number of GPUs",
    ),
    (["option", 0, "gpus_per_replica"], 0, r"option\[0\]\.gpus_per_replica = 0: must be a whole number"),
    (
        ["option", 0, "price_per_gpu_hour"],
        None,
        r"option\[0\]\.price_per_gpu_hour: is missing, while option 'cata",
    ),
    (["option", 0, "price_per_gpu_hour"], -1, r"option\[0\]\.price_per_gpu_hour = -1: must be a number >= 0"),
    (["option", 0, "price"], 1, r"option\[0\]\.price = 1: unknown key"),
    (["option", 0, "kv_capacity_tokens"], 1, r"unknown key; did you mean replica\.kv_capacity_tokens\?"),
    (["option", 0, "replica", "kv_capacity"], 1, r"option\[0\]\.replica\.kv_capacity = 1: unknown key"),
    (["option", 0, "replica"], {}, r"option 'one': replica\.kv_capacity_tokens: is missing"),
    (["option", 0, "iteration_time"], {}, r"option 'one': iteration_time: is missing"),
    (["option", 0, "workload"], {}, r"option\[0\]\.workload = \{\}: unknown key"),
    (["run", "measure"], ["rates"], r"run\.measure = \['rates'\]: is not for plans"),
    (["run", "infeasible"], "skip", r"run\.infeasible = 'skip': is not for plans"),
    (["run", "request"], 5, r"run\.request = 5: unknown key; did you mean requests\?"),
    (["run", "replications"], 1, r"run\.replications = 1: must be a whole number"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_what_can_not_be_used_is_named(path, value, message):
    with pytest.raises(SpecError, match=message):
        parse_plan(changed(path, value), source="plan.toml")


@pytest.mark.parametrize("count", [1, 23, 25])
def test_a_day_has_24_hours(count):
    document = changed(["demand", "peak_rps"], None)
    document["demand"]["hourly_rps"] = [1.0] * count
    with pytest.raises(
        SpecError, match=rf"demand\.hourly_rps = .*must be a list of 24 numbers.*here are {count}"
    ):
        parse_plan(document)


def test_overrides_take_the_place_of_what_is_there():
    overrides = [
        ("demand.hourly_rps", str([2.0] * 24)),
        ("limits.ttft.p50", '"1 s"'),
        ("replica.max_num_seqs", "7"),
        ("iteration_time.constant", '"5 ms"'),
        ("price_per_gpu_hour", "9"),
        ("run.seed", "5"),
    ]
    plan = parse_plan(GOOD, overrides=overrides)
    assert plan.demand.peak_rps == 3.0
    assert [objective.name for objective in plan.limits.objectives] == ["ttft_p50", "ttft_p99"]
    assert {option.layer["replica.max_num_seqs"] for option in plan.options} == {7}
    assert {option.price_per_gpu_hour for option in plan.options} == {9}
    assert plan.spec(plan.options[1]).point(0).iteration_time.planes[0].base_ps == 5 * 10**9
    assert plan.run.seed == 5
    assert GOOD["demand"]["peak_rps"] == 40


def test_keys_may_be_quoted_as_in_a_spec():
    plan = parse_plan(GOOD, overrides=[('replica."max_num_seqs"', "7"), (" demand.growth", "2")])
    assert {option.layer["replica.max_num_seqs"] for option in plan.options} == {7}
    assert plan.demand.growth == 2


def test_what_says_the_same_in_another_way_goes():
    hourly = ("demand.hourly_rps", str([1.0] * 24))
    assert parse_plan(GOOD, overrides=[hourly]).demand.peak_rps == 1.5
    assert parse_plan(GOOD, overrides=[hourly, ("demand.peak_rps", "2")]).demand.hourly_rps is None
    plan = parse_plan(GOOD, overrides=[("demand.workload.catalogue", "azure-conv-2023")])
    assert plan.spec(plan.options[0]).point(0).law.name == "azure-conv-2023"
    quoted = copy.deepcopy(GOOD)
    quoted["option"][0]["iteration_time.constant"] = quoted["option"][0].pop("iteration_time")["constant"]
    planes = ("iteration_time.planes", "[{ base_ms = 4 }]")
    plan = parse_plan(quoted, overrides=[planes])
    assert "iteration_time.constant" not in plan.options[0].layer


def test_traces_of_overrides_start_here(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, tokens in ((here, 5), (there, 6)):
        folder.mkdir()
        (folder / "x.csv").write_text(f"prompt_tokens,output_tokens\n{tokens},1\n")
    monkeypatch.chdir(here)
    for override in (
        ("demand.workload.trace", "x.csv"),
        ("demand.workload", '{ trace = "x.csv" }'),
        ("demand.workload", '[{ trace = "x.csv" }]'),
    ):
        plan = parse_plan(GOOD, directory=there, overrides=[override])
        assert plan.spec(plan.options[0]).point(0).law.prompt_tokens.tolist() == [5]


def test_an_override_does_not_reach_into_a_mixture():
    with pytest.raises(
        SpecError, match=r"--set: demand\.workload\.output_scale = 2: demand\.workload is no table"
    ):
        load_plan("chat-and-code", [("demand.workload.output_scale", "2")])


@pytest.mark.parametrize("key", ["max_num_seqs", "workload.output_scale", "option", ""])
def test_unknown_overrides_are_named(key):
    with pytest.raises(SpecError, match=r"--set.*: unknown key"):
        parse_plan(GOOD, overrides=[(key, "1")])


def test_a_plan_that_ships_is_found_by_name():
    plan = load_plan("chat-and-code")
    assert plan.source == "plan chat-and-code"
    assert len(plan.options) == 4
    with pytest.raises(SpecError, match="did you mean chat-and-code"):
        load_plan("chat-and-cod")
    with pytest.raises(SpecError, match=r"none\.toml: can't be read"):
        load_plan("none.toml")
    with pytest.raises(SpecError, match="no such file, nor a plan that ships"):
        load_plan("x" * 5000)


def test_what_stands_here_goes_before_what_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat-and-code").mkdir()
    with pytest.raises(SpecError, match="chat-and-code: can't be read: Is a directory"):
        load_plan("chat-and-code")
