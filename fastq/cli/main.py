"""The ``fastq`` command: finds the subcommand, runs it, turns errors into messages and exit statuses."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fastq.cli import (
    calibrate,
    compare,
    completion,
    info,
    manual,
    map,
    plan,
    simulate,
    status,
    sweep,
    theory,
    validate,
    workload,
)
from fastq.cli.exit_status import ExitStatus
from fastq.errors import FastqError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_DESCRIPTION = """\
Where does an LLM server's queue blow up? fastq simulates continuous batching under a KV-cache memory
limit, request by request, and puts the closed form of queueing theory beside it, for one server or many."""

_EPILOG = """\
examples:
  fastq theory quickstart                     closed forms alone, in a moment
  fastq simulate quickstart --point 7         one point, as a readable table
  fastq sweep quickstart --out results        the whole grid, into Parquet files
  fastq map results --x replica.kv_capacity_tokens --y workload.output_scale -o map.png
  fastq plan chat-and-code                    how many GPUs of which kind, and what they cost
  fastq compare before after                  whether a boundary moved between two data sets

A SPEC is a TOML file, or the name of a grid that comes with fastq ('fastq info' lists them).
'fastq help spec' lists what a spec can say; 'fastq COMMAND --help' explains a command.

exit status: 0 done, 1 failed or, of compare, something moved, 2 bad usage or spec, 3 nothing feasible,
130 or 143 interrupted"""

_COMMANDS = (
    sweep,
    simulate,
    theory,
    map,
    compare,
    plan,
    workload,
    calibrate,
    validate,
    status,
    info,
    manual,
    completion,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status, see :class:`ExitStatus`.
    """
    args = build_parser().parse_args(argv)
    _point_numba_at_user_cache()
    try:
        with _own_interrupts():
            finished = int(args.run(args))
        sys.stdout.flush()
    except SpecError as error:
        return _fail(str(error), ExitStatus.BAD_USAGE)
    except FastqError as error:
        return _fail(str(error), ExitStatus.FAILED)
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _fail(str(error), ExitStatus.FAILED)
    except MemoryError as error:
        return _fail(_out_of_memory(error), ExitStatus.FAILED)
    except KeyboardInterrupt as interrupt:
        return _fail(
            str(interrupt) or "interrupted", int(getattr(interrupt, "exit_status", ExitStatus.INTERRUPTED))
        )
    return finished


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = _Parser(
        prog="fastq",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_CommandsInOneLine,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True, parser_class=_CommandParser
    )
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


class _CommandsInOneLine(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the longest command, whose indentation argparse forgets to count."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


class _Parser(argparse.ArgumentParser):
    """A parser that says how to get help, and guesses what a misspelt word was meant to be."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitStatus.BAD_USAGE, f"fastq: error: {message}\nTry '{self.prog} --help'.\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            from difflib import get_close_matches

            choices = [str(choice) for choice in action.choices]
            close = get_close_matches(str(value), choices, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise argparse.ArgumentError(action, f"no {value!r} (choose from {', '.join(choices)}){guess}")


class _CommandParser(_Parser):
    """The parser of one command: it refuses what it doesn't know itself, so that its own usage is shown."""

    def parse_known_args(self, *args: Any, **options: Any) -> tuple[Any, list[str]]:
        found, unknown = super().parse_known_args(*args, **options)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._guess(unknown[0])}")
        return found, unknown

    def _guess(self, word: str) -> str:
        from difflib import get_close_matches

        flags = [flag for action in self._actions for flag in action.option_strings]
        close = get_close_matches(word.partition("=")[0], flags, n=1)
        return f"; did you mean {close[0]}?" if close else ""


class _Version(argparse.Action):
    """Print the version; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from fastq.cli.info import fastq_version

        sys.stdout.write(f"fastq {fastq_version()}\n")
        parser.exit()


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C.

    Where a plain KeyboardInterrupt passes through code that an extension runs (they do so when imported), the
    interpreter takes it for one that nobody caught, and ends by the signal whatever status the command returns.
    """


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise :class:`_Interrupt`, where it would raise KeyboardInterrupt."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise _Interrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _point_numba_at_user_cache() -> None:
    """Keep compiled kernels in the user's cache directory, unless the user has chosen a place."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        place = user_cache_directory()
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        os.environ["NUMBA_CACHE_DIR"] = str(place)


def user_cache_directory() -> Path:
    """Return where the command line keeps compiled kernels."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "fastq" / "numba"


def _fail(message: str, exit_status: int) -> int:
    sys.stderr.write(f"fastq: error: {message}\n")
    return int(exit_status)


def _out_of_memory(error: MemoryError) -> str:
    detail = str(error).partition("\n")[0].rstrip(".")
    return (
        f"not enough memory{f' ({detail})' if detail else ''}. Take fewer --workers or --threads, "
        "or a smaller run.requests or grid; finished blocks of a sweep are kept."
    )


def _reader_left() -> int:
    """End quietly where the reader of a pipe has seen enough, as in ``fastq theory SPEC --csv | head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(ExitStatus.FAILED)


if __name__ == "__main__":
    sys.exit(main())
