"""Cards are shared out among threads and processes that do not know of each other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastq.engine import cards, worker
from fastq.engine.cards import choose_card

pytest.importorskip("fcntl", reason="this system has no locks of files")


@pytest.fixture(autouse=True)
def locks(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def chosen_at_once(choices):
    """What threads choose that live side by side; each chooses twice."""
    everyone = threading.Barrier(len(choices))

    def choose(cards):
        first = choose_card(cards)
        everyone.wait(60)
        return first, choose_card(cards)

    with ThreadPoolExecutor(len(choices)) as pool:
        return list(pool.map(choose, choices))


def test_threads_are_spread_evenly_and_stay_where_they_are():
    chosen = chosen_at_once([("a", "b", "c")] * 6)
    assert all(first == again for first, again in chosen)
    assert sorted(first for first, _ in chosen) == [0, 0, 1, 1, 2, 2]


def test_a_card_is_free_again_when_its_thread_ends():
    for _ in range(3):
        assert sorted(first for first, _ in chosen_at_once([("a", "b")] * 2)) == [0, 1]


def test_cards_are_the_same_in_whatever_order_a_process_sees_them():
    """As each worker of a cluster that gives its workers a card of their own, first in a list of all."""
    names = ("a", "b", "c")
    orders = [names[k:] + names[:k] for k in range(3)]
    chosen = chosen_at_once(orders)
    assert sorted(order[first] for order, (first, _) in zip(orders, chosen, strict=True)) == ["a", "b", "c"]


def test_a_killed_process_lets_go(locks):
    script = (
        "import sys, tempfile\n"
        f"tempfile.tempdir = {str(locks)!r}\n"
        "from fastq.engine.cards import choose_card\n"
        "print(choose_card(('a', 'b')), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "0\n"
        assert chosen_at_once([("a", "b")]) == [(1, 1)]
        process.kill()
    assert chosen_at_once([("a", "b")]) == [(0, 0)]


def test_numbered_workers_go_by_their_number(monkeypatch):
    monkeypatch.setattr(worker, "_workers", 5)
    monkeypatch.setattr(worker, "_number", 4)
    assert choose_card(("a", "b", "c")) == 1


def test_one_card_needs_no_lock(locks):
    assert choose_card(("a",)) == 0
    assert not list(locks.iterdir())


def test_without_a_place_for_locks_any_card_will_do(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    assert {first for first, _ in chosen_at_once([("a", "b")] * 24)} <= {0, 1}


def test_no_more_locks_than_a_card_may_have(monkeypatch):
    monkeypatch.setattr(cards, "MOST_TO_A_CARD", 1)
    assert len(chosen_at_once([("a", "b")] * 3)) == 3
