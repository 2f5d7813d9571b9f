"""Kernels: plain typed functions over integers that run in Python, compiled by numba, and on a GPU.

Nothing here imports anything of fastq outside this package, and importing it compiles nothing.
"""
