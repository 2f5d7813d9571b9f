"""A spec takes a replica from a file of one's own, as it takes one of the catalogue."""

from __future__ import annotations

import re

import pytest
from small_spec import SMALL

from fastq.cli.main import main
from fastq.errors import SpecError
from fastq.model.catalogue import load_replica
from fastq.model.load import load_spec
from fastq.model.load_plan import load_plan

ENTRY = """\
[replica]
kv_capacity_tokens = {capacity}
block_size = 1

[iteration_time]
planes = [{{ base_ms = 12.5, prefill_token_us = 50 }}]
"""


def spec_text(name, extra=""):
    text = SMALL.replace("kv_capacity_tokens = 2000", f"catalogue = '{name}'" if name else "")
    return text.replace('[iteration_time]\nconstant = "20 ms"\n', "") + extra


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["engine.toml", "./engine.toml", "../specs/engine.toml"])
def test_the_path_is_relative_to_the_spec(tmp_path, monkeypatch, name):
    write(tmp_path / "specs" / "engine.toml", ENTRY.format(capacity=3000))
    spec = write(tmp_path / "specs" / "spec.toml", spec_text(name))
    monkeypatch.chdir(tmp_path)
    point = load_spec(str(spec)).point(0)
    assert (point.replica.kv_capacity_tokens, point.replica.block_size) == (3000, 1)
    assert point.iteration_time.planes[0].base_ps == 12_500_000_000
    resolved = load_spec(str(spec))
    assert resolved.hash == load_spec(str(spec)).hash


def test_files_vary_along_an_axis_and_beside_entries_that_ship(tmp_path):
    for name, capacity in (("a", 3000), ("b", 4000)):
        write(tmp_path / f"{name}.toml", ENTRY.format(capacity=capacity))
    axis = "[grid]\n'replica.catalogue' = ['./a.toml', './b.toml', 'a100-llama-3-8b']\n"
    spec = load_spec(str(write(tmp_path / "spec.toml", spec_text("", axis))))
    assert [point.replica.kv_capacity_tokens for point in spec] == [3000, 4000, 438_592]
    assert [point.axes["replica.catalogue"] for point in spec] == ["./a.toml", "./b.toml", "a100-llama-3-8b"]


def test_what_it_holds_decides_the_hash_not_what_it_is_called(tmp_path):
    hashes = []
    for name, capacity in (("a", 3000), ("b", 3000), ("c", 4000)):
        write(tmp_path / f"{name}.toml", ENTRY.format(capacity=capacity))
        hashes.append(load_spec(str(write(tmp_path / "spec.toml", spec_text(f"{name}.toml")))).hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "replica.catalogue = './engine.toml': .*engine.toml: can't be read"),
        ("[replica", "engine.toml: not TOML"),
        ("[replica]\nblock_size = 1\n", r"engine.toml: iteration_time: table \[iteration_time\] is missing"),
        (ENTRY + "[run]\nseed = 1\n", "engine.toml: run: unknown key"),
        (ENTRY.replace("block_size", "block_sise"), "engine.toml: replica.block_sise.*did you mean"),
    ],
)
def test_files_that_can_not_be_used_are_named(tmp_path, text, message):
    if text is not None:
        write(tmp_path / "engine.toml", text.format(capacity=3000) if "{capacity}" in text else text)
    spec = write(tmp_path / "spec.toml", spec_text("./engine.toml"))
    with pytest.raises(SpecError, match=message):
        load_spec(str(spec))


def test_a_name_that_neither_ships_nor_is_a_path_says_both(tmp_path):
    spec = write(tmp_path / "spec.toml", spec_text("a100"))
    with pytest.raises(SpecError, match=r"no such entry .*; or the path of a file that ends in .toml"):
        load_spec(str(spec))


def test_a_path_on_the_command_line_is_relative_to_where_one_stands(tmp_path, monkeypatch, capsys):
    write(tmp_path / "here" / "engine.toml", ENTRY.format(capacity=3000))
    spec = write(tmp_path / "spec.toml", spec_text("a100-llama-3-8b"))
    monkeypatch.chdir(tmp_path / "here")
    assert main(["theory", str(spec), "--set", "replica.catalogue=engine.toml"]) == 0
    assert capsys.readouterr().out


def test_provenance_may_be_missing_in_a_file_of_ones_own(tmp_path):
    path = write(tmp_path / "engine.toml", ENTRY.format(capacity=3000))
    assert load_replica(str(path))["provenance"] == {}


def test_a_file_without_a_kv_capacity_is_named_with_what_to_add(tmp_path):
    """``fastq calibrate`` writes such files where the capacity is not known."""
    lacking = ENTRY.format(capacity=3000).replace("kv_capacity_tokens = 3000\n", "")
    engine = write(tmp_path / "engine.toml", lacking)
    spec = write(tmp_path / "spec.toml", spec_text("./engine.toml"))
    says = rf"replica\.kv_capacity_tokens: is missing, and {re.escape(str(engine))} .*below \[replica\] there, as in "
    with pytest.raises(SpecError, match=rf"spec\.toml: {says}kv_capacity_tokens = "):
        load_spec(str(spec))
    plan = write(
        tmp_path / "plan.toml",
        "[demand]\npeak_rps = 1\nworkload.catalogue = 'azure-conv-2023'\n"
        "[[option]]\nname = 'mine'\ngpus_per_replica = 1\nreplica.catalogue = './engine.toml'\n",
    )
    with pytest.raises(SpecError, match=rf"plan\.toml, option 'mine': {says}kv_capacity_tokens = "):
        load_plan(str(plan))
    plan.write_text(plan.read_text() + "replica.kv_capacity_tokens = 40_000\n")
    (option,) = load_plan(str(plan)).options
    assert option.layer["replica.kv_capacity_tokens"] == 40_000
