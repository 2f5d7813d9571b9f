"""Versions that enter a data set."""

from __future__ import annotations

VERSION = "0.1.0"
"""Version of the package."""

RESULTS_VERSION = 5
"""Rises whenever any number of any result changes, so that data sets of two meanings never mix."""
