"""Pictures: they are made, say what they show in words, and are the same byte for byte."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.artist import getp
from matplotlib.axes import Axes
from matplotlib.text import Text
from pictures import SIZE, panels_of, svg

from fastq.errors import SpecError
from fastq.plot import style
from fastq.plot.against_theory import BINDING_MARKS, draw_against_theory
from fastq.plot.axis import log_ticks, plot_axis
from fastq.plot.boundary_lines import draw_boundary_lines
from fastq.plot.boundary_map import draw_boundary_map
from fastq.plot.boundary_words import BOUNDARIES, SATURATED
from fastq.plot.cells import draw_curves
from fastq.plot.facet_title import title_lines
from fastq.plot.labels import STATUS_WORDS
from fastq.plot.ratio_scale import ABOVE_HATCH, ratio_scale
from fastq.plot.selection import Selection, select
from fastq.plot.status_marks import STATUS_MARKS, thinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.plot.boundary_words import BoundaryWords

KV, SCALE, SEQS = "replica.kv_capacity_tokens", "workload.output_scale", "replica.max_num_seqs"
AXES: dict[str, list[float | int | None]] = {
    SEQS: [64, None],
    KV: [int(value) for value in np.geomspace(16_000, 512_000, 7)],
    SCALE: [float(value) for value in np.linspace(0.25, 4.0, 5)],
}


@pytest.fixture(scope="module")
def points() -> pa.Table:
    rows = []
    for index, (seqs, kv, scale) in enumerate(itertools.product(AXES[SEQS], AXES[KV], AXES[SCALE])):
        by_memory, by_slots = kv / 40_000 / scale, (seqs or 4096) / 40 / scale
        skipped = index == 4
        theory = min(by_memory, by_slots)
        rows.append(
            {
                SEQS: seqs,
                KV: kv,
                SCALE: scale,
                "service_rate_rps": None if skipped else 0.95 * theory,
                "service_rate_low_rps": None if skipped else 0.94 * theory,
                "service_rate_high_rps": None if skipped else 0.96 * theory,
                "theory_rate_rps": None if skipped else theory,
                "theory_stable_rps": 0.9 * theory if by_memory < by_slots and not skipped else None,
                "paper_rate_rps": None if skipped else by_memory,
                "binding": None if skipped else "kv" if by_memory < by_slots else "seqs",
                "status": "skipped" if skipped else "capped" if index == 9 else "ok",
            }
        )
    return pa.Table.from_pylist(rows)


def chosen(points: pa.Table, y: str | None = SCALE, **where: str) -> Selection:
    names = {"seqs": SEQS, "scale": SCALE, "kv": KV}
    return select(
        points, AXES, x=KV, y=y, where={names[key]: value for key, value in where.items()}, source="d"
    )


def test_map_says_what_it_shows(points: pa.Table, tmp_path: Path) -> None:
    figure = draw_boundary_map(chosen(points), title="A title", note="seed 1", size=SIZE)
    text = svg(figure, tmp_path / "map.svg")
    for words in (
        "A title",
        "seed 1",
        "Simulated boundary",
        "Simulated ÷ theory",
        "What limits it",
        "KV cache capacity (tokens)",
        "Output length scale (× workload)",
        "sequence limit: 64 requests",
        "sequence limit: unlimited",
        "requests/s",
        "KV memory",
        "equal rate, theory",
        "a request can never fit",
        "precision not reached",
    ):
        assert words in text, words
    assert "not run yet" not in text
    assert "token budget" not in text


def test_dollars_in_a_title_are_no_formula(points: pa.Table, tmp_path: Path) -> None:
    title = r"A100 $\foo$"
    figure = draw_boundary_map(chosen(points), title=title, note=title, size=SIZE)
    assert svg(figure, tmp_path / "map.svg").count(title) == 2


def test_what_limits_throughput_is_not_called_the_limit_of_another_boundary(
    points: pa.Table, tmp_path: Path
) -> None:
    words: dict[str, Any] = {"title": "t", "note": "n", "size": SIZE, "boundary": BOUNDARIES["slo"]}
    drawn = svg(draw_boundary_map(chosen(points), **words), tmp_path / "map.svg")
    assert "Service-level boundary" in drawn
    assert "What limits throughput" in drawn
    assert "What limits it" not in drawn
    along_one = draw_boundary_lines(chosen(points, y=None, scale="1.1875"), **words)
    lines = svg(along_one, tmp_path / "lines.svg")
    assert "throughput limited by sequence limit" in lines
    assert ">limited by" not in lines


def test_objectives_that_no_rate_meets_are_shown_as_such(points: pa.Table, tmp_path: Path) -> None:
    rates = points["service_rate_rps"].to_pylist()
    unmet = points.set_column(
        points.schema.get_field_index("service_rate_rps"),
        "service_rate_rps",
        pa.array([*rates[:-3], None, None, None]),
    )
    words: dict[str, Any] = {"title": "t", "note": "n", "size": SIZE, "boundary": BOUNDARIES["slo"]}
    drawn = svg(draw_boundary_map(chosen(unmet), **words), tmp_path / "map.svg")
    assert "no rate meets the objectives" in drawn
    assert "not run yet" not in drawn
    met = svg(draw_boundary_map(chosen(points), **words), tmp_path / "met.svg")
    assert "no rate meets the objectives" not in met


def test_labels_of_curves_side_by_side_do_not_cover_each_other(points: pa.Table) -> None:
    from matplotlib.figure import Figure

    selection = chosen(points, seqs="64")
    axes = Figure(figsize=(4, 3)).subplots()
    selection.x.dress(axes, "x", labelled=True, room_em=20)
    selection.y.dress(axes, "y", labelled=True, room_em=20)
    steep = np.tile(np.geomspace(1, 1.5, len(selection.x.values)) ** 2, (len(selection.y.values), 1))
    draw_curves(axes, selection, steep, [1.5, 1.52, 1.54], SIZE)
    heights = sorted(
        np.log(text.get_position()[1]) if selection.y.kind == "log" else text.get_position()[1]
        for text in axes.texts
    )
    assert len(heights) == 3
    edges = selection.y.edges
    assert min(np.diff(heights)) > 0.07 * (edges[-1] - edges[0])


def test_points_that_are_not_finished_are_shown_as_such(points: pa.Table, tmp_path: Path) -> None:
    figure = draw_boundary_map(chosen(points.slice(0, 50)), title="t", note="n", size=SIZE)
    assert "not run yet" in svg(figure, tmp_path / "map.svg")


@pytest.mark.parametrize("ending", style.ENDINGS)
def test_the_same_picture_has_the_same_bytes(points: pa.Table, tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        style.save(draw_boundary_map(chosen(points), title="t", note="n", size=SIZE), path, size=SIZE)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert len(first) > 10_000


def test_few_values_are_written_into_the_cells(points: pa.Table, tmp_path: Path) -> None:
    selection = select(points, AXES, x=SEQS, y=SCALE, where={KV: "16000"})
    text = svg(draw_boundary_map(selection, title="t", note="n", size=SIZE), tmp_path / "map.svg")
    assert "1.52" in text
    assert "0.950" in text
    assert "equal rate" not in text


@pytest.mark.parametrize(
    "names", [("A", "B"), ("Llama-3-8B on one A100, in bf16", "Llama-3-8B on two L40S, in fp8")]
)
def test_values_and_long_names_leave_each_other_room(names: tuple[str, str]) -> None:
    axes: dict[str, list[float | int | str | None]] = {
        "case": list(names),
        KV: [int(value) for value in np.geomspace(1_000, 20_000, 8)],
    }
    theory = dict.fromkeys(("theory_rate_rps", "theory_stable_rps", "paper_rate_rps"), 11.11)
    simulated = dict.fromkeys(("service_rate_low_rps", "service_rate_rps", "service_rate_high_rps"), 10.55)
    words = {"binding": "kv", "status": "ok"}
    table = pa.Table.from_pylist(
        [{"case": name, KV: kv, **theory, **simulated, **words} for name in names for kv in axes[KV]]
    )
    selection = select(table, axes, x=KV, y="case", where={}, source="d")
    figure = draw_boundary_map(selection, title="t", note="n", size=SIZE)
    with style.pen(SIZE):
        figure.draw_without_rendering()
        panels = panels_of(figure)
        for panel in panels[:2]:
            row = sorted(
                (text.get_window_extent() for text in panel.texts if text.get_text()[:1] in "01"),
                key=lambda box: (box.y0, box.x0),
            )[:8]
            assert len(row) == 8
            assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(row))
        headings = [panel.title.get_window_extent() for panel in panels]
        labels = [panel.xaxis.label.get_window_extent() for panel in panels]
        for line in (headings, labels):
            assert all(left.x1 < right.x0 for left, right in itertools.pairwise(line))


def test_curves_carry_their_value_halfway_and_upright(points: pa.Table) -> None:
    from matplotlib.figure import Figure

    selection = chosen(points)
    axes = Figure().add_subplot()
    selection.x.dress(axes, "x", labelled=True, room_em=20)
    selection.y.dress(axes, "y", labelled=True, room_em=20)
    values = np.broadcast_to(selection.x.positions, (len(selection.y.values), len(selection.x.values)))
    level = float(np.mean(selection.x.positions[1:3]))
    draw_curves(axes, selection, values, [level], style.SIZES["page"])
    (label,) = axes.texts
    middle = selection.y.positions[len(selection.y.positions) // 2 - 1 : len(selection.y.positions) // 2 + 1]
    assert label.get_position()[0] == pytest.approx(level)
    assert middle[0] <= label.get_position()[1] <= middle[-1] * 1.5
    assert label.get_rotation() == 0


def test_lines_say_what_they_show(points: pa.Table, tmp_path: Path) -> None:
    figure = draw_boundary_lines(chosen(points, y=None, scale="1.1875"), title="t", note="n", size=SIZE)
    text = svg(figure, tmp_path / "lines.svg")
    for words in (
        "Simulated boundary",
        "(requests/s)",
        "simulated, 95% interval",
        "limited by sequence limit",
        "theory, KV memory alone",
    ):
        assert words in text, words


def test_a_ratio_near_1_is_not_blown_up(points: pa.Table, tmp_path: Path) -> None:
    near = [
        row
        | {
            name: row["theory_rate_rps"] and row["theory_rate_rps"] * factor
            for name, factor in zip(
                ("service_rate_low_rps", "service_rate_rps", "service_rate_high_rps"),
                (1 - 2e-5, 1 - 1e-5, 1.0),
                strict=True,
            )
        }
        for row in points.to_pylist()
    ]
    selection = chosen(pa.Table.from_pylist(near), y=None, scale="1.1875")
    figure = draw_boundary_lines(selection, title="t", note="n", size=SIZE)
    assert "1.000" in svg(figure, tmp_path / "lines.svg")
    ratio = next(axes for axes in figure.axes if axes.get_ylabel().startswith("Simulated\n"))
    assert ratio.yaxis.get_offset_text().get_text() == ""
    low, high = ratio.get_ylim()
    assert low < 0.999 < 1.001 < high


@pytest.mark.parametrize("y", [None, "iteration_time.planes"])
def test_planes_have_the_sign_of_a_microsecond_beside_an_axis_and_above_a_facet(
    points: pa.Table, tmp_path: Path, y: str | None
) -> None:
    """Result tables and --where have us, which a keyboard has too."""
    held = points.filter(pa.compute.equal(points[SCALE], AXES[SCALE][0])).drop_columns([SCALE])
    key, planes = "iteration_time.planes", ["5 ms + 30 us P", "max(12.5 ms, 1 ms + 60 us P + 7 us D)"]
    table = pa.concat_tables([held.append_column(key, pa.array([each] * len(held))) for each in planes])
    axes = {SEQS: AXES[SEQS], KV: AXES[KV], key: planes}
    selection = select(table, axes, x=KV, y=y, where={SEQS: "64"}, source="d")
    draw = draw_boundary_lines if y is None else draw_boundary_map
    text = svg(draw(selection, title="", note="", size=SIZE), tmp_path / "a.svg")
    assert "5 ms + 30 µs P" in text
    assert "60 µs P" in text
    assert " us " not in text
    one = select(table, axes, x=KV, y=None, where={SEQS: "64", key: planes[0]}, source="d")
    assert "5 ms + 30 µs P" in one.chosen


def long_facets(points: pa.Table, y: str | None) -> Selection:
    """Facets that are told apart by a case with a long name and a setting with a long one."""
    part = points.filter(pa.compute.is_in(points[SCALE], pa.array([0.25, 4.0])))
    names = pa.array(["chunked prefill, 2,048 tokens an iteration", "whole prompts"])
    cases = names.take(pa.array([0 if seqs is None else 1 for seqs in part[SEQS].to_pylist()]))
    table = part.append_column("case", cases)
    axes = {"case": names.to_pylist(), KV: AXES[KV], SCALE: [0.25, 4.0]}
    return select(table, axes, x=KV, y=y, where={})


@pytest.mark.parametrize("size", style.SIZES.values(), ids=style.SIZES)
@pytest.mark.parametrize(("draw", "y"), [(draw_boundary_lines, None), (draw_boundary_map, SCALE)])
def test_titles_of_facets_stay_within_their_column(
    points: pa.Table, draw: Callable[..., Figure], y: str | None, size: style.Size
) -> None:
    figure = draw(long_facets(points, y), title="t", note="n", size=size)
    figure.draw_without_rendering()
    titles = [text.get_window_extent() for text in figure.findobj(Text) if "case" in text.get_text()]
    assert len(titles) == (4 if y is None else 2)
    panels = [axes.get_window_extent() for axes in figure.axes]
    for title in titles:
        assert title.x1 < figure.bbox.x1
        assert title.y1 < figure.bbox.y1
        assert not any(title.overlaps(panel) for panel in panels)
    for one, other in itertools.combinations(titles, 2):
        assert not one.overlaps(other)


def test_a_title_has_a_setting_a_line_where_it_must() -> None:
    assert title_lines([], 20) == []
    assert title_lines(["a: 1", "b: 2"], 20) == ["a: 1, b: 2"]
    assert title_lines(["prompt length scale: 1", "b: 2"], 13) == ["prompt length scale: 1", "b: 2"]
    assert title_lines(["prompt length scale: 1"], 8) == ["prompt length", "  scale: 1"]


def along_one_axis(count: int, status: list[str]) -> Selection:
    kv = np.geomspace(16_000, 512_000, count)
    rate = 3 + np.log(kv / 16_000)
    table = pa.table(
        {
            KV: kv,
            "service_rate_rps": rate,
            "service_rate_low_rps": 0.95 * rate,
            "service_rate_high_rps": 1.05 * rate,
            "theory_rate_rps": 1.02 * rate,
            "theory_stable_rps": pa.nulls(count, pa.float64()),
            "paper_rate_rps": rate,
            "binding": ["kv"] * count,
            "status": (status * count)[:count],
        }
    )
    return select(table, {KV: kv.tolist()}, x=KV, y=None, where={})


def marked_points(axes: Axes, marker: str) -> int:
    """How many points of a panel show that mark, white with a black rim."""
    return sum(
        len(line.get_xdata())
        for line in axes.lines
        if line.get_marker() == marker and line.get_markerfacecolor() == "white"
    )


def test_lines_mark_every_point_that_calls_for_care(tmp_path: Path) -> None:
    selection = along_one_axis(15, ["ok", "short", "capped", "nonergodic", "metastable"])
    figure = draw_boundary_lines(selection, title="t", note="n", size=SIZE)
    rates, _, ratio, _ = figure.axes
    for panel in (rates, ratio):
        assert [marked_points(panel, marker) for marker in STATUS_MARKS.values()] == [3, 3, 3, 3]
        assert [sum(bars.lines[0].get_markevery()) for bars in panel.containers] == [3]
    text = svg(figure, tmp_path / "lines.svg")
    for words in STATUS_WORDS.values():
        assert words in text, words
    assert "thinned out" not in text


def test_crowded_points_become_a_band_below_theory(tmp_path: Path) -> None:
    figure = draw_boundary_lines(along_one_axis(150, ["short"]), title="t", note="n", size=SIZE)
    for panel in (figure.axes[0], figure.axes[2]):
        (band,) = panel.collections[:1]
        (simulated,) = (line for line in panel.lines if line.get_zorder() == band.get_zorder())
        dashed = [line for line in panel.lines if line.get_color() == style.OKABE_ITO["vermilion"]]
        assert len(simulated.get_xdata()) == 150
        assert all(line.get_zorder() > simulated.get_zorder() for line in dashed)
        assert len(dashed) > 0
        assert 10 < marked_points(panel, "^") < 40
    assert "thinned out" in svg(figure, tmp_path / "lines.svg")


def test_a_crowded_point_without_neighbours_keeps_its_error_bar() -> None:
    selection = along_one_axis(150, ["ok"])
    rates = selection.table["service_rate_rps"].to_pylist()
    rates[74] = rates[76] = None
    gaps = selection.table.set_column(1, "service_rate_rps", pa.array(rates))
    gapped = select(gaps, {KV: gaps[KV].to_pylist()}, x=KV, y=None, where={})
    panel = draw_boundary_lines(gapped, title="t", note="n", size=SIZE).axes[0]
    (bars,) = panel.containers
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [gaps[KV][75].as_py()])


@settings(deadline=None)
@given(
    cells=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)),
    steps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_thinned_marks_stand_apart_and_near_every_marked_cell(
    cells: np.ndarray, steps: tuple[int, int]
) -> None:
    kept = np.argwhere(thinned(cells, steps))
    assert all(cells[i, j] for i, j in kept)
    assert all(np.any(np.abs(a - b) >= steps) for a, b in itertools.combinations(kept, 2))
    for cell in np.argwhere(cells):
        assert any(np.all(np.abs(cell - mark) < steps) for mark in kept)


def over_two_axes(rate_rps: NDArray[np.float64], status: str = "short") -> Selection:
    """A map of that shape, (along scale, along KV memory); theory is 1 request/s everywhere."""
    kv = np.geomspace(16_000, 512_000, rate_rps.shape[1])
    scale = np.geomspace(0.25, 4, rate_rps.shape[0])
    count = rate_rps.size
    table = pa.table(
        {
            KV: np.tile(kv, len(scale)),
            SCALE: np.repeat(scale, len(kv)),
            "service_rate_rps": rate_rps.ravel(),
            "theory_rate_rps": np.ones(count),
            "binding": ["kv"] * count,
            "status": [status] * count,
        }
    )
    return select(table, {KV: kv.tolist(), SCALE: scale.tolist()}, x=KV, y=SCALE, where={})


def test_marks_on_a_dense_map_are_fewer_and_look_as_in_the_key() -> None:
    dense = over_two_axes(np.full((48, 64), 0.9))
    figure = draw_boundary_map(dense, title="t", note="n", size=SIZE)
    assert 40 < marked_points(figure.axes[0], "^") < 120
    keys = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    (drawn,) = (line for line in figure.axes[0].lines if line.get_marker() == "^")
    (shown,) = (line for key in keys for line in key.get_lines() if line.get_marker() == "^")
    for look in ("markersize", "markerfacecolor", "markeredgecolor", "markeredgewidth"):
        assert getp(drawn, look) == getp(shown, look)


def test_marks_stand_beside_values() -> None:
    figure = draw_boundary_map(over_two_axes(np.full((3, 3), 0.9)), title="t", note="n", size=SIZE)
    panel = figure.axes[0]
    figure.draw_without_rendering()
    (marks,) = (line for line in panel.lines if line.get_marker() == "^")
    places = panel.transData.transform(marks.get_xydata())
    assert len(places) == 9
    boxes = [text.get_window_extent() for text in panel.texts if text.get_text() == "0.900"]
    assert len(boxes) == 9
    assert not any(box.contains(*place) for box in boxes for place in places)


@pytest.mark.parametrize(
    ("low", "high", "percent", "ends"),
    [
        (0.905, 1.004, 1, (0.905, 1.015)),
        (0.87, 1.02, 2, (0.87, 1.03)),
        (0.5, 0.99, 5, (0.475, 1.075)),
        (0.999, 1.001, 1, (0.985, 1.015)),
        (0.2, 3.3, 50, (0.25 - 0.5, 3.25 + 0.5)),
    ],
)
def test_ratios_have_bands_around_1(low: float, high: float, percent: int, ends: tuple[float, float]) -> None:
    scale = ratio_scale(np.array([low, np.nan, high]))
    assert scale.percent == percent
    assert (scale.bounds[0], scale.bounds[-1]) == ends
    assert 1.0 in scale.centres
    assert 1.0 in scale.ticks(6)
    assert len(scale.ticks(6)) <= 6
    look = scale.look()
    red, _, blue, _ = look.to_rgba(1 + 0.8 * percent / 100)
    assert red > blue
    red, _, blue, _ = look.to_rgba(1 - 0.8 * percent / 100)
    assert red < blue
    lightness = [sum(look.to_rgba(1 + step * percent / 100)[:3]) for step in range(-scale.below, 1)]
    assert lightness == sorted(lightness)


def test_the_ratio_panel_shows_1_and_hatches_what_is_above() -> None:
    ratio = np.full((5, 6), 0.9)
    ratio[2, 3] = 1.04
    figure = draw_boundary_map(over_two_axes(ratio), title="t", note="n", size=SIZE)
    panel = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Simulated ÷ theory")
    (hatched,) = (each for each in panel.collections if each.get_hatch() == ABOVE_HATCH)
    assert len(hatched.get_paths()) == 1
    bar = next(axes for axes in figure.findobj(Axes) if "closed form" in axes.get_xlabel())
    assert 1.0 in bar.get_xticks()
    assert any(patch.get_hatch() == ABOVE_HATCH for patch in bar.patches)


def test_pictures_leave_no_settings_behind(points: pa.Table) -> None:
    import matplotlib as mpl

    before = {key: value for key, value in mpl.rcParams.items() if key != "backend"}
    draw_boundary_map(chosen(points), title="t", note="n", size=style.SIZES["slide"])
    assert {key: value for key, value in mpl.rcParams.items() if key != "backend"} == before


def test_unknown_axes_and_values_are_named(points: pa.Table) -> None:
    with pytest.raises(SpecError, match=rf"this data set has: {SEQS}, {KV}, {SCALE}"):
        select(points, AXES, x="nothing", y=None, where={})
    with pytest.raises(SpecError, match="two different axes"):
        select(points, AXES, x=KV, y=KV, where={})
    with pytest.raises(SpecError, match="this axis is drawn"):
        select(points, AXES, x=KV, y=None, where={KV: "16000"})
    with pytest.raises(SpecError, match=r"it has 1\.188, 0\.25"):
        chosen(points, y=None, scale="1")


def test_too_many_facets_suggest_where(points: pa.Table) -> None:
    with pytest.raises(SpecError, match=f"--where {SCALE}=0.25"):
        chosen(points, y=None)


def test_where_understands_numbers_and_unlimited(points: pa.Table) -> None:
    assert len(chosen(points, seqs="64.0").rows) == 35
    assert len(chosen(points, seqs="unlimited").rows) == 35


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([16_000, 32_000, 64_000], "log"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "linear"),
        ([64, 256], "log"),
        ([1.0, 2.0], "linear"),
        (["vllm", "paper"], "category"),
        ([64, None, 16], "category"),
        ([5], "linear"),
    ],
)
def test_kind_of_axis(values: list[object], kind: str) -> None:
    axis = plot_axis(KV, values)
    assert axis.kind == kind
    assert len(axis.edges) == len(values) + 1
    assert np.all(np.diff(axis.edges) > 0)
    assert np.all((axis.edges[:-1] < axis.positions) & (axis.positions < axis.edges[1:]))


def test_unlimited_comes_last() -> None:
    assert plot_axis(SEQS, [None, 256, 64]).values == (64, 256, None)


def test_every_point_stands_against_theory(points: pa.Table, tmp_path: Path) -> None:
    figure = draw_against_theory(points, title="t", note="n", size=SIZE, boundary=SATURATED)
    against, ratio = panels_of(figure)
    text = svg(figure, tmp_path / "theory.svg")
    for words in (
        "Simulated boundary (requests/s)",
        "limited by KV memory",
        "open: precision not reached",
        "equal",
    ):
        assert words in text, words
    assert "token budget" not in text
    able = [row for row in points.to_pylist() if row["status"] != "skipped"]
    for panel, unit in ((against, "theory_rate_rps"), (ratio, None)):
        drawn = {
            (float(x), float(y))
            for line in panel.lines
            if line.get_marker() in {marker for _, marker in BINDING_MARKS.values()}
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        }
        wanted = {
            (row["theory_rate_rps"], row["service_rate_rps"] / (1 if unit else row["theory_rate_rps"]))
            for row in able
        }
        assert drawn == wanted
        assert marked_points(panel, "o") + marked_points(panel, "s") == 1
        assert len(panel.containers) > 0
    assert against.get_xlim() == against.get_ylim()


@pytest.mark.parametrize("boundary", BOUNDARIES.values())
def test_the_key_below_points_against_theory_is_not_cut(points: pa.Table, boundary: BoundaryWords) -> None:
    rows = [
        {**row, "binding": "tokens", "status": "short"} if row["binding"] and number % 3 == 0 else row
        for number, row in enumerate(points.to_pylist())
    ]
    figure = draw_against_theory(
        pa.Table.from_pylist(rows), title="t", note="n", size=SIZE, boundary=boundary
    )
    with style.pen(SIZE):
        figure.draw_without_rendering()
        (key,) = [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]
        assert len(key.get_texts()) == 5
        assert key.get_window_extent().x1 <= figure.bbox.x1
        assert key.get_window_extent().y0 >= figure.bbox.y0


def test_error_bars_are_left_out_where_points_are_many(points: pa.Table) -> None:
    many = pa.concat_tables([points] * 8)
    figure = draw_against_theory(many, title="t", note="n", size=SIZE, boundary=SATURATED)
    assert all(len(panel.containers) == 0 for panel in panels_of(figure))


def test_points_that_cant_run_make_no_picture(points: pa.Table) -> None:
    skipped = points.filter(pa.compute.equal(points["status"], "skipped"))
    with pytest.raises(SpecError, match="none of these points can run"):
        draw_against_theory(skipped, title="t", note="n", size=SIZE, boundary=SATURATED)


@pytest.mark.parametrize(
    ("low", "high"), [(0.07, 3000.0), (28.0, 62.0), (80.0, 290.0), (2.8, 3.7), (1.1, 1.4)]
)
def test_logarithmic_ticks_are_within_their_axis_and_few(low: float, high: float) -> None:
    ticks, minor = log_ticks(low, high, 7)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in [*ticks, *minor])


def test_a_name_without_a_known_ending_is_refused() -> None:
    with pytest.raises(SpecError, match=r"\.png, \.svg, \.pdf"):
        style.check_ending("map.gif")
