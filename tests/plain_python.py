"""The kernels' loop in plain Python, behind the same call as the compiled one."""

from __future__ import annotations

import numpy as np

from fastq.kernels._layout import one_of
from fastq.kernels.trajectory import make_advance


def plain_advance(saturated: bool, lookahead: bool, recording: bool, terms: bool):
    loop = make_advance(saturated, lookahead, recording, terms)

    def advance_all(params, tables, states, record, requests, steps, status):
        for r, p in enumerate(params.view(np.recarray)):
            status[r] = loop(p, tables, one_of(states, r), record, requests, steps)

    return advance_all
