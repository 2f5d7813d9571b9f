"""Every error that fastq raises on purpose, in one tree.

::

    FastqError
    ├── SpecError            a spec, trace or catalogue entry that can't be used (exit status 2)
    │   └── InfeasibleError  a law that holds a request which can never fit in memory
    ├── KernelError          a compiled kernel gave up: a fault of fastq, never of the input
    ├── BackendUnavailable   the requested backend can't run here, and why
    ├── StoreError           a data set that can't be read, written or continued
    └── WorkerError          a worker process died or an executor can't be used
"""

from __future__ import annotations


class FastqError(Exception):
    """Base of every error that fastq raises on purpose."""


class SpecError(FastqError):
    """A spec, trace or catalogue entry that can't be used.

    Parameters
    ----------
    message
        What is wrong, what would be accepted, and what to do.
    source
        The file (or other origin) that holds the value.
    key
        Dotted key of the value.
    value
        The offending value; absent when the key itself is missing.
    """

    _ABSENT = object()

    def __init__(self, message: str, *, source: str = "", key: str = "", value: object = _ABSENT) -> None:
        self.message, self.source, self.key, self.value = message, source, key, value
        where = ": ".join(part for part in (source, key) if part)
        shown = "" if value is SpecError._ABSENT else f" = {_short(value)}"
        super().__init__(f"{where}{shown}: {message}" if where else message)


class InfeasibleError(SpecError):
    """A length law holds a request that can never fit in memory: an engine would wait on it for ever."""


class KernelError(FastqError):
    """A compiled kernel stopped with an unexpected status: a fault of fastq, never of the input."""


class BackendUnavailable(FastqError):
    """The requested backend can't run here; the message says why and what to install."""


class StoreError(FastqError):
    """A data set that can't be read, written or continued."""


class WorkerError(FastqError):
    """A worker process died, or an executor that fastq can't use was given."""


def _short(value: object, limit: int = 80) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes out
        text = "a number of thousands of digits"
    return text if len(text) <= limit else text[: limit - 3] + "..."
