"""A data set in a local (or network) directory: temporary name, flush to disk, rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.errors import StoreError
from fastq.store.location import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

ABANDONED_AFTER_S = 86_400.0
"""Age at which a temporary file of another machine is taken for left behind; writing one takes seconds."""

_PARTIAL = re.compile(r"\.[\w.-]+\.(?P<kernel>[0-9a-f]{8})-\d+-[0-9a-f]{12}\.partial")


class LocalDirectory:
    """A directory of the file system.

    A file is written under a hidden temporary name at the top of the directory, flushed to disk and renamed,
    so readers of a table never see a part of one. The writer holds a lock on its temporary file: one whose
    lock is free was left by a process that died.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def uri(self) -> str:
        """Absolute path."""
        return str(self.root)

    def prepare(self, directories: tuple[str, ...]) -> None:
        """Make the directory and those in it, and prove that a file can be written."""
        with self._refusing("can't be made or written to"):
            self.root.mkdir(parents=True, exist_ok=True)
            for directory in directories:
                (self.root / directory).mkdir(exist_ok=True)
            with self._partial("probe") as (_, path):
                path.unlink()

    def entries(self, directory: str = "") -> dict[str, Entry]:
        """List the finished files of a directory by name."""
        try:
            with os.scandir(self.root / directory) as found:
                return {
                    entry.name: Entry(entry.stat().st_size, entry.stat().st_mtime)
                    for entry in found
                    if not entry.name.startswith(".") and entry.is_file()
                }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"{self.show(directory)} can't be read: {_reason(error)}.") from error

    def foreign(self) -> list[str]:
        """Name what stands at the top level, hidden names aside."""
        try:
            return sorted(path.name for path in self.root.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise StoreError(
                f"{self.root} can't hold a data set: it, or a part of its path, is a file. "
                "Name a directory that is new, empty, or holds this data set."
            ) from error
        except OSError as error:
            raise StoreError(f"{self.root} can't be read: {_reason(error)}.") from error

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        try:
            return (self.root / name).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.show(name)) from error

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Put a whole file in place at once, over what stood there, and flush it to disk."""
        target = self.root / name
        with (
            self._refusing(f"stopped at {name}, which could not be written", finished_kept=True),
            self._partial(name.replace("/", "-")) as (descriptor, partial),
        ):
            rest = memoryview(data)
            while rest.nbytes:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
            partial.replace(target)
            _flush_directory(target.parent)

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading at any offset."""
        import pyarrow as pa

        return pa.OSFile(self.show(name), "rb")

    def show(self, name: str = "") -> str:
        """Return the path of a file, for messages."""
        return str(self.root / name)

    def clean(self) -> list[str]:
        """Remove temporary files whose writer is provably dead.

        A free lock is proof where the file was made under the kernel that runs now. Across machines locks
        can't be trusted, so files of other kernels also have to be a day old.
        """
        removed = []
        try:
            found = [path for path in self.root.iterdir() if _PARTIAL.fullmatch(path.name)]
        except OSError:
            return []
        for path in found:
            with contextlib.suppress(OSError):
                match = _PARTIAL.fullmatch(path.name)
                ours = match is not None and match["kernel"] == _kernel_id()
                if (ours or time.time() - path.stat().st_mtime > ABANDONED_AFTER_S) and _lock_is_free(path):
                    path.unlink()
                    removed.append(path.name)
        return removed

    @contextlib.contextmanager
    def _partial(self, label: str) -> Iterator[tuple[int, Path]]:
        """Open a locked temporary file; it is removed unless it was renamed meanwhile."""
        descriptor, path = self._new_partial(label)
        try:
            yield descriptor, path
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)

    def _new_partial(self, label: str) -> tuple[int, Path]:
        while True:
            path = self.root / f".{label}.{_kernel_id()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.partial"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with contextlib.suppress(OSError):  # a file system without locks: clean() leaves the file alone
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():  # no clean() came between the making and the lock
                return descriptor, path
            os.close(descriptor)

    @contextlib.contextmanager
    def _refusing(self, what: str, *, finished_kept: bool = False) -> Iterator[None]:
        """Turn errors of the operating system into a :class:`StoreError` that says what to do."""
        try:
            yield
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "Choose another directory, or change its permissions.")
            kept = " Finished blocks are kept; run the same command again to go on." if finished_kept else ""
            raise StoreError(f"{self.root} {what}: {_reason(error)}. {advice}{kept}") from error


_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space.",
    errno.EDQUOT: "The disk quota is used up: free some space.",
    errno.EFBIG: "The limit on file sizes was hit: raise it (ulimit -f).",
    errno.EROFS: "The file system is read-only: choose another directory.",
    errno.ENOENT: "The directory is gone: make it again, or choose another.",
    errno.ENOTDIR: "Name a directory that is new, empty, or holds this data set.",
    errno.EEXIST: "Name a directory that is new, empty, or holds this data set.",
}


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _flush_directory(path: Path) -> None:
    """Flush a directory to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems can't, and need not
            raise
    finally:
        os.close(descriptor)


def _lock_is_free(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _kernel_id() -> str:
    """Eight hexadecimal digits that tell running kernels apart: containers of one machine share them."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        text = str(uuid.uuid5(uuid.NAMESPACE_DNS, socket.gethostname()))
    return text[:8]
