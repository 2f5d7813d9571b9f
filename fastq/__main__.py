"""``python -m fastq``: the same as the ``fastq`` command."""

import sys

from fastq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
