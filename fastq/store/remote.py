"""A data set behind a ``pyarrow.fs`` URI, such as an S3 bucket: every file is a single put."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.errors import StoreError
from fastq.store.location import Entry

if TYPE_CHECKING:
    import pyarrow as pa


class RemoteDirectory:
    """A directory of any file system that pyarrow opens by URI.

    Object stores show an object only once it is complete, so a file is put by its own name.
    """

    def __init__(self, uri: str) -> None:
        import pyarrow as pa
        from pyarrow import fs

        self._uri = uri
        try:
            self.filesystem, self.path = fs.FileSystem.from_uri(uri)
        except (pa.ArrowException, OSError, ValueError, ImportError) as error:
            raise StoreError(
                f"{uri} can't be opened: {error}. Give a local path or a URI that pyarrow.fs knows "
                "(s3://, gs://, hdfs://, fsspec+PROTOCOL://)."
            ) from error
        if not self.path:
            raise StoreError(f"{uri} names no bucket or directory: give one, as in s3://bucket/results.")

    @property
    def uri(self) -> str:
        """The URI as it was given."""
        return self._uri

    def prepare(self, directories: tuple[str, ...]) -> None:
        """Make the directories, where the file system has such a thing."""
        try:
            for directory in directories:
                self.filesystem.create_dir(self._inside(directory), recursive=True)
        except OSError as error:
            raise StoreError(
                f"{self._uri} can't be made or written to: {error}. "
                "Check the credentials, and that the bucket exists."
            ) from error

    def entries(self, directory: str = "") -> dict[str, Entry]:
        """List the finished files of a directory by name."""
        from pyarrow import fs

        return {
            info.base_name: Entry(info.size or 0, (info.mtime_ns or 0) / 1e9)
            for info in self._list(directory)
            if info.type == fs.FileType.File and not info.base_name.startswith(".")
        }

    def foreign(self) -> list[str]:
        """Name what stands at the top level, hidden names aside."""
        return sorted(info.base_name for info in self._list("") if not info.base_name.startswith("."))

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        with self.open(name) as file:
            return file.read()

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Put a whole file by its own name."""
        try:
            with self.filesystem.open_output_stream(self._inside(name)) as stream:
                stream.write(data)
        except OSError as error:
            raise StoreError(
                f"{self.show(name)} could not be written: {error}. "
                "Finished blocks are kept; run the same command again to go on."
            ) from error

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading at any offset."""
        return self.filesystem.open_input_file(self._inside(name))

    def show(self, name: str = "") -> str:
        """Return the URI of a file, for messages."""
        head, question, query = self._uri.partition("?")
        return f"{head.rstrip('/')}/{name}{question}{query}" if name else self._uri

    def clean(self) -> list[str]:
        """Do nothing: an unfinished put leaves no object."""
        return []

    def _inside(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}" if name else self.path

    def _list(self, directory: str) -> list[pa.fs.FileInfo]:
        from pyarrow import fs

        selector = fs.FileSelector(self._inside(directory), allow_not_found=True)
        try:
            return self.filesystem.get_file_info(selector)
        except OSError as error:
            raise StoreError(f"{self.show(directory)} can't be read: {error}.") from error
