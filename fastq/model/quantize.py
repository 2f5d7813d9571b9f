"""Quantised joint laws: a trace's pairs of lengths, sketched by a small table of equally likely pairs.

The table is built in two steps, so that what closed forms and simulation feel most is right by construction.

1. Each marginal is cut into cells of equal mass, one an entry, and every cell gets one integer length between
   its smallest and its largest: its mean, corrected so that the percentiles 1 to 99 are the trace's own, and
   the mean and the mean square too. Where the tail is too heavy for that, lengths above the 99th percentile
   may leave their cells, so that the longest can stand for it.
2. The entries are paired. Rows are cut into strips by prompt, and each strip into cells by output; the ranks
   of one row of each cell say which entry goes with which. Swaps of neighbours, in the end of the longest,
   then bring the mean of prompt x output to the trace's own.

The table is sorted and has no order in time. It holds the trace's own request with the largest prompt +
output, unless that is so rare that an entry of its own would falsify a mean, a mean square or the mean of
prompt x output; no entry is longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fastq.errors import SpecError
from fastq.model.lengths import MAX_LENGTH_TOKENS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

DEFAULT_ENTRIES = 4096
"""Entries of a quantised law, unless the trace has fewer rows."""

_PERCENTILE_ENTRIES = 400
_MEAN_TOLERANCE = 0.001
_SQUARE_TOLERANCE = 0.005
_SQUARE_SHORT = 0.001
_MOST_LONGEST_SWAPS = 50
_LONGEST = 16
_PRODUCT_TOLERANCE = 1e-6
_PRODUCT_OFF = 0.001


@dataclass(frozen=True, slots=True)
class _Cells:
    """Sorted values cut into cells of equal mass: the smallest, the largest and the mean of each, tokens."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    mean: NDArray[np.float64]


def quantize(
    prompt_tokens: ArrayLike, output_tokens: ArrayLike, entries: int = DEFAULT_ENTRIES
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sketch pairs of lengths by a table of equally likely pairs.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Lengths of the requests of a trace, tokens, each >= 1; of one length.
    entries
        Entries of the table. A trace with no more rows than that is kept as it is, sorted.

    Returns
    -------
    tuple of int32 arrays
        Prompt and output tokens of the entries, sorted by prompt, then output; the same on every machine.

    Raises
    ------
    SpecError
        If there is no row, a length is below 1, the columns differ in length, or ``entries`` is below 1.
    """
    prompts, outputs = _checked(prompt_tokens, output_tokens, entries)
    rows = prompts.size
    if rows > entries:
        by_prompt = np.lexsort((outputs, prompts))
        prompts, outputs = prompts[by_prompt], outputs[by_prompt]
        longest = int(np.argmax(prompts + outputs))
        anchor = (int(prompts[longest]), int(outputs[longest]))
        mean_product = _sum_of_products(prompts, outputs) / rows
        ranks = _output_ranks(outputs, entries)
        ordered = (prompts, np.sort(outputs))
        tables = tuple(_quantize_marginal(*each, entries) for each in zip(ordered, anchor, strict=True))
        holds_longest = all(_same_moments(*each) for each in zip(tables, ordered, strict=True))
        if not holds_longest:
            tables = tuple(_quantize_marginal(each, None, entries) for each in ordered)
        prompts, outputs = tables[0], tables[1][ranks]
        if holds_longest:
            outputs = _pair_longest(prompts, outputs, anchor)
        outputs = _shorten(prompts, outputs, sum(anchor))
        total, limit = mean_product * entries, sum(anchor)
        matched = _match_product(prompts, outputs, total, limit, fixed_from=limit)
        if abs(_sum_of_products(prompts, matched) - total) > _PRODUCT_OFF * total:
            matched = _match_product(prompts, outputs, total, limit, fixed_from=limit + 1)
        outputs = matched
    order = np.lexsort((outputs, prompts))
    return prompts[order].astype(np.int32), outputs[order].astype(np.int32)


def _checked(
    prompt_tokens: ArrayLike, output_tokens: ArrayLike, entries: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    prompts, outputs = np.asarray(prompt_tokens), np.asarray(output_tokens)
    if prompts.ndim != 1 or prompts.shape != outputs.shape:
        raise SpecError(
            f"prompt and output lengths have shapes {prompts.shape} and {outputs.shape}; "
            "two columns of one length are needed"
        )
    if prompts.size == 0:
        raise SpecError("a trace without rows has no law; at least one request is needed")
    if entries < 1:
        raise SpecError("a table needs at least one entry", key="entries", value=entries)
    for key, column in (("prompt_tokens", prompts), ("output_tokens", outputs)):
        if not np.issubdtype(column.dtype, np.integer):
            raise SpecError(f"lengths must be whole numbers of tokens, not {column.dtype}", key=key)
        for value in (int(column.min()), int(column.max())):
            if not 1 <= value <= MAX_LENGTH_TOKENS:
                raise SpecError(
                    f"lengths must be between 1 and {MAX_LENGTH_TOKENS:,} tokens", key=key, value=value
                )
    return prompts.astype(np.int64), outputs.astype(np.int64)


def _sum_of_products(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Sum of products, correctly rounded, so that the table is the same on every machine."""
    return math.fsum((one.astype(np.float64) * other).tolist())


def _quantize_marginal(ordered: NDArray[np.int64], anchor: int | None, entries: int) -> NDArray[np.int64]:
    """Represent cells of equal mass of sorted lengths, one value each; ``anchor`` is one of the values."""
    cells = _cut(ordered, entries)
    held = np.zeros(entries, dtype=np.bool_)
    values = cells.mean.copy()
    for cell, length in _percentile_cells(ordered, entries):
        values[cell], held[cell] = length, True
    if anchor is not None:
        anchor_cell = int(np.searchsorted(cells.high, anchor))
        values[anchor_cell], held[anchor_cell] = anchor, True
    squares = _sum_of_products(ordered, ordered) / ordered.size * entries
    lengths = _spread_to_squares(values, held, cells, squares)
    if entries < _PERCENTILE_ENTRIES:
        return lengths
    for first_percent in (99, 1):
        if _sum_of_products(lengths, lengths) >= (1.0 - _SQUARE_SHORT) * squares:
            break
        lengths = _spread_to_squares(values, held, _opened(cells, values, first_percent), squares)
    return lengths


def _spread_to_squares(
    values: NDArray[np.float64], held: NDArray[np.bool_], cells: _Cells, squares: float
) -> NDArray[np.int64]:
    """Bring mean and squares of values to those of the rows, each value within its cell, and round them."""
    raised = _raise_last(_shift_to_sum(values, held, cells), held, cells, squares)
    return _match_squares(_round_within(raised, held, cells), held, cells, squares)


def _opened(cells: _Cells, values: NDArray[np.float64], first_percent: int) -> _Cells:
    """Let lengths leave their cells, down to the percentile below them, from one percentile on.

    What they lose goes to the last, which can then stand for a heavier tail; no percentile changes.
    """
    low = cells.low.copy()
    for percent in range(first_percent, 100):
        below, above = (-(-each * values.size // 100) for each in (percent, percent + 1))
        low[below : above - (percent < 99)] = int(values[below - 1])
    return replace(cells, low=low)


def _cut(ordered: NDArray[np.int64], entries: int) -> _Cells:
    """Cut sorted lengths into ``entries`` cells of equal mass; a row on an edge belongs to both its cells."""
    rows = ordered.size
    edges = np.arange(entries + 1, dtype=np.int64) * rows
    whole, part = edges // entries, edges % entries
    sums = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(ordered)))
    shared = np.concatenate((ordered, np.zeros(1, dtype=np.int64)))[whole] * part
    mass_below = np.diff(sums[whole]) * entries + np.diff(shared)
    return _Cells(
        low=ordered[whole[:-1]],
        high=ordered[-(-edges[1:] // entries) - 1],
        mean=mass_below / rows,
    )


def _percentile_cells(ordered: NDArray[np.int64], entries: int) -> list[tuple[int, int]]:
    """Cells that decide the percentiles 1 to 99, with the trace's own value; none for small tables."""
    if entries < _PERCENTILE_ENTRIES:
        return []
    rows = ordered.size
    return [
        (-(-percent * entries // 100) - 1, int(ordered[-(-percent * rows // 100) - 1]))
        for percent in range(1, 100)
    ]


def _shift_to_sum(values: NDArray[np.float64], held: NDArray[np.bool_], cells: _Cells) -> NDArray[np.float64]:
    """Move the values not held towards an end of their cells, all by one share, until the mean is right."""
    excess = math.fsum((values - cells.mean).tolist())
    ends = cells.low if excess > 0 else cells.high
    room = np.where(held, 0.0, ends - values)
    available = math.fsum(room.tolist())
    if available == 0.0:
        return values
    return values + room * min(1.0, -excess / available)


def _raise_last(
    values: NDArray[np.float64], held: NDArray[np.bool_], cells: _Cells, target: float
) -> NDArray[np.float64]:
    """Raise the last value, which stands for the tail, until squares reach ``target``, at the same sum."""
    room = np.where(held, 0.0, values - cells.low)
    room[-1] = 0.0
    available = math.fsum(room.tolist())
    missing = target - math.fsum((values * values).tolist())
    if held[-1] or available <= 0.0 or missing <= 0.0:
        return values
    share = room / available
    # Raising by x adds slope x + curve x^2 to the squares.
    slope = 2.0 * (float(values[-1]) - math.fsum((values * share).tolist()))
    curve = 1.0 + math.fsum((share * share).tolist())
    wanted = (math.sqrt(slope * slope + 4.0 * curve * missing) - slope) / (2.0 * curve)
    step = min(wanted, available, float(cells.high[-1] - values[-1]))
    raised = values - share * step
    raised[-1] += step
    return raised


def _round_within(values: NDArray[np.float64], held: NDArray[np.bool_], cells: _Cells) -> NDArray[np.int64]:
    """Round to whole tokens, carrying each rounding error on to the next cell that can take it."""
    rounded = np.empty(values.size, dtype=np.int64)
    carried = 0.0
    for cell, (value, fixed, low, high) in enumerate(
        zip(values.tolist(), held.tolist(), cells.low.tolist(), cells.high.tolist(), strict=True)
    ):
        length = round(value) if fixed else min(max(math.floor(value + carried + 0.5), low), high)
        carried += value - length
        rounded[cell] = length
    return rounded


def _match_squares(
    lengths: NDArray[np.int64], held: NDArray[np.bool_], cells: _Cells, target: float
) -> NDArray[np.int64]:
    """Move pairs of the widest cells apart or together until squares reach ``target``, at the same sum."""
    width = np.where(held, 0, cells.high - cells.low)
    widest = np.argsort(-width, kind="stable")
    widest = widest[: int(np.count_nonzero(width)) // 2 * 2]
    matched = lengths.copy()
    missing = target - _sum_of_products(lengths, lengths)
    for one, other in widest.reshape(-1, 2).tolist():
        lower, upper = min(one, other), max(one, other)
        gap = int(matched[upper] - matched[lower])
        if missing > 0:
            room = min(int(matched[lower] - cells.low[lower]), int(cells.high[upper] - matched[upper]))
        else:
            room = -min(
                int(cells.high[lower] - matched[lower]), int(matched[upper] - cells.low[upper]), gap // 2
            )
        # Moving both by t tokens apart adds 2 t (gap + t) to the squares.
        root = gap * gap + 2.0 * missing
        wanted = round((math.sqrt(root) - gap) / 2.0) if root > 0 else room
        step = min(wanted, room) if missing > 0 else max(wanted, room)
        matched[lower] -= step
        matched[upper] += step
        missing -= 2.0 * step * (gap + step)
        if abs(missing) <= gap:
            break
    return matched


def _output_ranks(outputs: NDArray[np.int64], entries: int) -> NDArray[np.int64]:
    """Rank of the output that goes with each entry, prompts ascending; ``outputs`` are sorted by prompt."""
    rows = outputs.size
    strips = max(1, math.isqrt(entries))
    first_entry = np.arange(strips + 1, dtype=np.int64) * entries // strips
    first_row = first_entry * rows // entries
    strip_of_row = np.repeat(np.arange(strips), np.diff(first_row))
    by_output = np.lexsort((outputs, strip_of_row))
    entry = np.arange(entries, dtype=np.int64)
    strip = np.repeat(np.arange(strips), np.diff(first_entry))
    strip_rows, strip_entries = np.diff(first_row)[strip], np.diff(first_entry)[strip]
    middle = (2 * (entry - first_entry[strip]) + 1) * strip_rows // (2 * strip_entries)
    chosen = np.sort(by_output[first_row[strip] + middle])
    ranks = np.empty(entries, dtype=np.int64)
    ranks[np.argsort(outputs[chosen], kind="stable")] = entry
    return ranks


def _same_moments(table: NDArray[np.int64], ordered: NDArray[np.int64]) -> bool:
    """Whether mean and mean square of a table are those of the rows, nearly."""
    rows, entries = ordered.size, table.size
    mean = int(table.sum()) / entries / (int(ordered.sum()) / rows)
    square = _sum_of_products(table, table) / entries / (_sum_of_products(ordered, ordered) / rows)
    return abs(mean - 1.0) <= _MEAN_TOLERANCE and abs(square - 1.0) <= _SQUARE_TOLERANCE


def _pair_longest(
    prompts: NDArray[np.int64], outputs: NDArray[np.int64], longest: tuple[int, int]
) -> NDArray[np.int64]:
    """Pair the two lengths of the longest request again."""
    paired = outputs.copy()
    at_prompt = int(np.searchsorted(prompts, longest[0]))
    at_output = int(np.flatnonzero(outputs == longest[1])[0])
    paired[[at_prompt, at_output]] = paired[[at_output, at_prompt]]
    return paired


def _shorten(prompts: NDArray[np.int64], outputs: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Let no entry be longer than ``limit``: swap its output with a shorter one, or cut it."""
    shortened = outputs.copy()
    for entry in np.flatnonzero(prompts + outputs > limit).tolist():
        fits = (shortened <= limit - prompts[entry]) & (prompts + shortened[entry] <= limit)
        fits &= prompts + shortened < limit
        candidates = np.flatnonzero(fits)
        if candidates.size:
            other = int(candidates[np.argmax(shortened[candidates])])
            shortened[[entry, other]] = shortened[[other, entry]]
    return np.minimum(shortened, limit - prompts)


def _match_product(
    prompts: NDArray[np.int64], outputs: NDArray[np.int64], target: float, limit: int, *, fixed_from: int
) -> NDArray[np.int64]:
    """Swap outputs until prompt x output adds up to ``target``, no entry beyond ``limit``.

    Entries of ``fixed_from`` tokens and more stay as they are.
    """
    matched = outputs.copy()
    missing = target - _sum_of_products(prompts, outputs)
    distance = 1
    while abs(missing) > _PRODUCT_TOLERANCE * target and distance < prompts.size:
        order = np.lexsort((prompts, matched))
        starts = np.arange(prompts.size - distance)
        starts = starts[starts // distance % 2 == 0]
        one, other = order[starts], order[starts + distance]
        gain = (matched[other] - matched[one]) * (prompts[one] - prompts[other])
        allowed = (prompts[one] + matched[other] <= limit) & (prompts[other] + matched[one] <= limit)
        allowed &= (np.sign(gain) == np.sign(missing)) & (prompts[one] + matched[one] < fixed_from)
        allowed &= prompts[other] + matched[other] < fixed_from
        useful = np.flatnonzero(allowed)
        for pair in useful[np.argsort(-np.abs(gain[useful]), kind="stable")].tolist():
            if abs(gain[pair]) <= abs(missing):
                left, right = one[pair], other[pair]
                matched[[left, right]] = matched[[right, left]]
                missing -= float(gain[pair])
        distance *= 2
    _swap_longest(prompts, matched, missing, limit, fixed_from, _PRODUCT_TOLERANCE * target)
    return matched


def _swap_longest(
    prompts: NDArray[np.int64],
    outputs: NDArray[np.int64],
    missing: float,
    limit: int,
    fixed_from: int,
    tolerance: float,
) -> None:
    """Swap outputs with the entries of the longest prompts and outputs, the best swap first, in place.

    In a heavy tail a few entries hold most of prompt x output, and only their partners can make up for it.
    """
    for _ in range(_MOST_LONGEST_SWAPS):
        if abs(missing) <= tolerance:
            return
        long = np.concatenate(
            (np.argsort(-prompts, kind="stable")[:_LONGEST], np.argsort(-outputs, kind="stable")[:_LONGEST])
        )
        prompt, output = prompts[long, None], outputs[long, None]
        gain = (outputs - output) * (prompt - prompts)
        allowed = (prompt + outputs <= limit) & (prompts + output <= limit)
        allowed &= (prompt + output < fixed_from) & (prompts + outputs < fixed_from)
        left_over = np.where(allowed, np.abs(missing - gain), np.inf)
        best = int(np.argmin(left_over))
        if left_over.flat[best] >= abs(missing):
            return
        one, other = long[best // prompts.size], best % prompts.size
        missing -= float(gain.flat[best])
        outputs[[one, other]] = outputs[[other, one]]
