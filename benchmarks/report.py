"""Run all benchmarks, print the table, and rewrite it in README.md.

Usage: python -m benchmarks.report [--save-baseline] [--no-write] [-k EXPRESSION]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.compare import as_markdown, as_text, load_baseline, save_baseline, table
from benchmarks.figures import Figure, read_figures
from benchmarks.machine import describe

HERE = Path(__file__).parent
README = HERE / "README.md"
BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"


def run_all(expression: str) -> list[Figure]:
    """Run the benchmarks that pytest's ``-k`` expression picks, and return their figures."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run.json"
        command = [sys.executable, "-m", "pytest", str(HERE), f"--benchmark-json={path}", "-k", expression]
        status = subprocess.run(command, cwd=HERE.parent, check=False).returncode
        if status != 0:
            sys.exit(status)
        return read_figures(path)


def rewrite(text: str) -> None:
    """Put ``text`` between the markers of README.md."""
    page = README.read_text(encoding="utf-8")
    between = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    README.write_text(between.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--save-baseline", action="store_true", help="write baseline.json from this run")
    parser.add_argument("--no-write", action="store_true", help="leave README.md as it is")
    parser.add_argument(
        "-k",
        default="",
        metavar="EXPRESSION",
        help="only these benchmarks, as for pytest; implies --no-write",
    )
    chosen = parser.parse_args()
    if chosen.save_baseline and chosen.k:
        parser.error("--save-baseline takes all benchmarks: leave -k out")
    figures, taken_on = run_all(chosen.k), describe()
    rows = table(figures, load_baseline())
    print(as_text(rows))
    if chosen.save_baseline:
        save_baseline(figures, taken_on)
    if not (chosen.no_write or chosen.k):
        machine = ", ".join(
            f"{name} {text}" for name, text in taken_on.items() if name not in ("machine", "date")
        )
        rewrite(f"{taken_on['machine']}; {taken_on['date']}; {machine}.\n\n{as_markdown(rows)}")


if __name__ == "__main__":
    main()
