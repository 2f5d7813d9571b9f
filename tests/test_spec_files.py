"""Where a spec and its traces are found, and files that are none."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from spec_documents import FULL, MINIMAL, document, spec_of, with_trace

from fastq.errors import SpecError
from fastq.model.catalogue import grid_names, load_workload, workload_names
from fastq.model.load import load_spec, parse_spec


def test_what_ships_loads():
    assert {"quickstart", "paper-table-1"} <= set(grid_names())
    for name in grid_names():
        spec = load_spec(name)
        assert spec.source == f"grid {name}"
        assert spec.first_infeasible() is None
    for name in workload_names():
        workload = load_workload(name)
        assert workload.law.name == name
        assert "licence" in workload.metadata


def test_names_and_missing_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match="did you mean quickstart"):
        load_spec("quikstart")
    with pytest.raises(SpecError, match=r"gone\.toml: can't be read: No such file"):
        load_spec("gone.toml")
    with pytest.raises(SpecError, match="can't be read"):
        load_spec(tmp_path)
    with pytest.raises(SpecError, match="can't be read"):
        load_spec("a\0b.toml")
    with pytest.raises(SpecError):
        load_spec("")
    Path("quickstart").write_text(MINIMAL, encoding="utf-8")
    assert len(load_spec("quickstart")) == 1  # a file goes before a grid that ships


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"[workload\n", "line 1"),
        (b"a = 1\nb = \n", "line 2"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"a = 1\nb = '\xff'\n", "line 2"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"[run]\nseed = " + b"9" * 5000, "not TOML"),
        (b"[run]\nseed = 0x" + b"f" * 5000, "run.seed"),
        (MINIMAL.encode("utf-16"), "UTF-8"),
    ],
)
def test_bad_files(tmp_path, content, shown):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(path) in str(caught.value)
    assert shown in str(caught.value)


def test_a_trace_is_found_beside_the_spec(tmp_path):
    spec = with_trace(tmp_path)
    law = spec.point(0).law
    assert law.joint
    assert (law.prompt_tokens.tolist(), law.output_tokens.tolist()) == ([1, 3], [2, 4])
    with pytest.raises(SpecError) as caught:
        with_trace(tmp_path, rows="1,2\n3,x\n")
    assert (caught.value.source, caught.value.key, caught.value.value) == (
        "spec.toml",
        "workload.trace",
        "trace.csv",
    )
    assert "row 2 (line 3): output_tokens = 'x'" in str(caught.value)


def test_traces_vary_along_an_axis(tmp_path):
    for folder, name, rows in [("", "a.csv", "1,2\n"), ("", "b.csv", "3,4\n"), ("c", "a.csv", "5,6\n")]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(f"prompt_tokens,output_tokens\n{rows}", encoding="utf-8")
    (tmp_path / "same.csv").write_bytes((tmp_path / "a.csv").read_bytes())

    def along(*names):
        made = document(workload={}, grid={"workload.trace": list(names)})
        return parse_spec(made, source="spec.toml", directory=tmp_path)

    spec = along("a.csv", "b.csv")
    assert [point.axes["workload.trace"] for point in spec] == ["a.csv", "b.csv"]
    assert [point.law.prompt_tokens.tolist() for point in spec] == [[1], [3]]
    for names in [("a.csv", "c/a.csv"), ("a.csv", "same.csv")]:  # one name, or one table
        with pytest.raises(SpecError, match="each may stand once"):
            along(*names)


def test_a_pickled_spec_needs_no_files(tmp_path):
    spec = with_trace(tmp_path)
    (tmp_path / "trace.csv").unlink()
    sent = pickle.loads(pickle.dumps(spec))
    assert sent.hash == spec.hash
    assert sent.point(0).law.digest == spec.point(0).law.digest
    assert sent.resolved() == spec.resolved()
    grid = pickle.loads(pickle.dumps(spec_of(FULL)))
    assert grid.point(777).axes == spec_of(FULL).point(777).axes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[provenance]\nname = 'x'\n", r"the file of a replica; .* replica.catalogue = './other.toml'"),
        ("[demand]\npeak_rps = 1\n", "this is a plan; 'fastq plan .*other.toml'"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, text, says):
    path = tmp_path / "other.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=says):
        load_spec(path)
