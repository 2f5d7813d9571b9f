"""Traces for tests: Poisson arrivals, heavy-tailed lengths."""

from __future__ import annotations

import numpy as np

from fastq.model.trace import Trace


def poisson(requests, *, rate=10.0, seed=1):
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, requests))


def lengths(requests, *, seed=1, alike=0.0):
    """Heavy-tailed lengths, neighbours correlated as in an autoregression."""
    noise = np.random.default_rng(seed).standard_normal(requests)
    for place in range(1, requests if alike else 0):
        noise[place] = alike * noise[place - 1] + np.sqrt(1 - alike**2) * noise[place]
    return np.clip(np.exp(6 + 1.5 * noise), 1, 2**20).astype(np.int32)


def trace_of(arrival_s, prompts, outputs, name="t.csv"):
    return Trace(np.asarray(prompts, np.int32), np.asarray(outputs, np.int32), arrival_s, name)
