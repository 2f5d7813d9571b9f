"""Print, as JSON, the seconds that the first call of each kernel takes in this process.

Numba's cache directory (``NUMBA_CACHE_DIR``) decides whether they are compiled or loaded.
"""

from __future__ import annotations

import json
import time


def main() -> None:
    began_s = time.perf_counter()
    from benchmarks.standard_case import standard_spec
    from fastq.engine.encode import encode
    from fastq.engine.ensemble import Ensemble
    from fastq.engine.record import record

    timed = {"imports": time.perf_counter() - began_s}
    for preset in ("vllm", "paper"):
        spec = standard_spec(preset)
        encoded = encode(spec.point(0), spec.run, mean_running=1.0)
        for rate_rps, kind in ((None, "saturated"), (1.0, "rates")):
            began_s = time.perf_counter()
            Ensemble(encoded, [0], rate_rps).run_to(1)
            timed[f"{preset}, {kind}"] = time.perf_counter() - began_s
            began_s = time.perf_counter()
            record(spec.point(0), spec.run, arrival_rate_rps=rate_rps, requests=1)
            timed[f"{preset}, {kind}, recorded"] = time.perf_counter() - began_s
    print(json.dumps(timed))


if __name__ == "__main__":
    main()
