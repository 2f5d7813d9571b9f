"""Runs points, blocks and sweeps on whatever there is to run them on."""
