"""Closed forms: what theory says of a point, without simulating it.

A request of s prompt and o output tokens spends n iterations in a batch. Summed over them, the KV memory it
holds is its *KV area* g(s, o): chunk after chunk while its prompt is cached, then one more token in every
decode iteration. A replica of M tokens that completes r requests per iteration holds r E[g] of them on
average, so r <= M / E[g]; in the same way r <= B / E[n] for B sequence slots, and r <= C / E[w] for a
budget of C tokens, of which a request is charged w. The smallest binds. The mean batch takes some time b,
so that completions per second are at most mu = r / b.

M / (b E[g]) and the guarantee below it are those of C. Nie, N. Si and Z. Zhou, "A Queueing-Theoretic
Framework for Stability Analysis of LLM Inference with KV Cache Memory Constraints", ICML 2026, arXiv
2605.04595; blocks, the other two limits and the self-consistent b extend them.

Expectations run over the finite tables that the simulation draws from, restricted to the requests that are
accepted. They are sums of integers, divided once at the end: the same on every machine.

* ``accepted``: exact sums over the accepted requests, without forming the product of independent marginals.
* ``kv_area``: KV areas of many requests at once.
* ``request_sums``: all that the formulas need to know of a law, remembered between points.
* ``recently_used``: where they are remembered.
* ``rates``: the formulas.
"""

from fastq.closed_forms.rates import ClosedForms, closed_forms

__all__ = ["ClosedForms", "closed_forms"]
