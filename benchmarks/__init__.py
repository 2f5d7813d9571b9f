"""Benchmarks: they report, and never decide a test. See README.md."""
