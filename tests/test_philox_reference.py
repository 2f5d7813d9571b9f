"""The reference generator gives the published answers."""

from __future__ import annotations

import pytest
from philox_reference import KNOWN_ANSWERS, philox4x32_10


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter, key, answer):
    assert philox4x32_10(counter, key) == answer


def test_a_change_of_any_input_word_changes_every_output_word():
    counter, key = (1, 2, 3, 4), (5, 6)
    base = philox4x32_10(counter, key)
    for position in range(6):
        words = [*counter, *key]
        words[position] ^= 1
        changed = philox4x32_10((words[0], words[1], words[2], words[3]), (words[4], words[5]))
        assert all(a != b for a, b in zip(base, changed, strict=True))
