"""Catalogues that ship with fastq: workloads, replicas and grids."""
