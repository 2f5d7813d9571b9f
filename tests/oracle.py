"""The oracle: a slow, obvious simulator of one replica, in lists, loops and integers.

It is an independent reading of the model and shares no code with the kernels, which must equal it event for
event. It asserts the invariants of the model in every iteration.

One iteration: running requests are served in order of admission, waiting ones are admitted, the batch runs,
tokens are emitted and requests leave. A request is in prefill while `kv < to_prefill` and decodes after that;
it leaves at the end of the iteration in which `kv` reaches its largest KV.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNLIMITED = 10**18
PS_PER_NS = 1000
MIN_WARMUP_COMPLETIONS = 1000
WARMUP_COMPLETIONS_PER_RUNNING = 10
REDONE = ("prefill", "decodes", "decode_kv", "attention2", "finished", "chunks", "cached")


@dataclass(frozen=True)
class Terms:
    """What is added to the largest plane, ps."""

    prefill_seq: int = 0  # for each prompt in prefill
    finished_prompt: int = 0  # for each prompt whose prefill ends
    prefill_kv_token: int = 0  # for each token that was cached of a prompt before its chunk
    prefills: int = 0  # where anything is prefilled
    mixed: int = 0  # where anything is prefilled and anything decodes
    mixed_kv_token: int = 0  # there, for each KV token of those that decode
    jump: int = 0  # where there are more prefill tokens and decodes than jump_beyond
    jump_beyond: int = 0


@dataclass(frozen=True)
class Config:
    """What the replica is; None means no limit."""

    kv_capacity_tokens: int
    block_size: int
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    prefill_chunk_tokens: int
    watermark_blocks: int  # stay free after an admission while another request is running
    max_model_len: int | None
    admission: str  # "chunk" | "prompt" | "peak" | "lookahead"
    preemption: str  # "recompute" | "restart"
    token_convention: str  # "engine" | "paper"
    planes: tuple[tuple[int, int, int, int, int], ...]  # ps: base, prefill, decode, kv, attention
    terms: Terms = Terms()


@dataclass
class Request:
    """One request of the stream; `emitted` > 0 makes it an aged initial request (saturated only)."""

    index: int
    arrival_ns: int
    prompt: int
    output: int
    emitted: int = 0


@dataclass(frozen=True)
class Iteration:
    """One iteration as it ran: `running`, `waiting` and the memory are those after scheduling."""

    start_ns: int
    duration_ps: int
    prefill_tokens: int
    decodes: int
    decode_kv_tokens: int
    attention2: int
    running: int
    waiting: int
    kv_tokens: int
    used_blocks: int
    preempted: int


@dataclass(frozen=True)
class Event:
    """What happened to a request; `iteration` counts from 0 at the start of the run."""

    iteration: int
    kind: str  # "admit" | "first_token" | "finish" | "preempt"
    request_index: int
    value: int  # admit: tokens to prefill; preempt: KV tokens lost; otherwise 0


@dataclass(frozen=True)
class Completed:
    """A request that has left; an aged one has no `first_token_ns`, unless it restarted."""

    index: int
    arrival_ns: int
    prompt: int
    output: int
    first_scheduled_ns: int
    first_token_ns: int | None
    finish_ns: int
    preemptions: int


@dataclass(frozen=True)
class Window:
    """What happened after the warm-up; it lasted elapsed_ns ns and elapsed_ps ps, the latter below 1000."""

    sums: dict[str, int]  # over the iterations in it, of every Iteration field but start_ns
    iterations: int
    completed: int
    arrivals: int  # accepted ones
    rejected: int
    preempted: int
    recomputed_tokens: int
    idle_ns: int
    elapsed_ns: int
    elapsed_ps: int
    max_waiting: int
    backlog_start: int
    backlog_end: int
    stops: list[str]  # of each iteration in it: what ended admission
    redone: tuple[int, ...]  # of each of REDONE: taken because of preemption, prefill in whole chunks
    prefills: tuple[int, ...]  # prompts whose prefill ended, chunks, tokens cached before them
    blocks_by_stop: dict[str, int]  # blocks in use, summed over the iterations of each stop


@dataclass
class Trace:
    """Everything that happened until the window closed, or until there was nothing left to do."""

    iterations: list[Iteration] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    completed: list[Completed] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)  # "kv" | "seqs" | "tokens" | "" of each iteration
    prefills: list[tuple[int, int, int]] = field(default_factory=list)  # of each iteration, as in Window
    rejected: int = 0
    window: Window | None = None  # None where the requests ran out before it closed


@dataclass(eq=False)
class Job:
    """A request in the system."""

    request: Request
    largest_kv: int
    emitted: int
    arrival_ns: int
    skipped_before: int  # saturated: requests rejected between the one before and this one
    to_prefill: int = 0
    kv: int = 0
    decoded: bool = False  # in the present iteration
    first_scheduled_ns: int | None = None
    first_token_ns: int | None = None
    preemptions: int = 0
    life: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # work done since it was last admitted
    chunk: int = 0  # prefill tokens in the present iteration


class Replica:
    """The state of one replica, and the steps of an iteration in order."""

    def __init__(self, config: Config, requests: Iterator[Request], saturated: bool) -> None:
        assert config.admission in ("chunk", "prompt", "peak", "lookahead")
        assert config.preemption in ("recompute", "restart")
        assert config.token_convention in ("engine", "paper")
        self.config, self.requests, self.saturated = config, requests, saturated
        self.blocks = config.kv_capacity_tokens // config.block_size
        self.slots = UNLIMITED if config.max_num_seqs is None else config.max_num_seqs
        self.budget = UNLIMITED if config.max_num_batched_tokens is None else config.max_num_batched_tokens
        self.clock_ns = self.clock_ps = self.idle_ns = 0
        self.arrivals = self.rejected = self.recomputed_tokens = 0
        self.redone = [0] * len(REDONE)
        self.upcoming = next(requests, None)
        self.last_first_scheduled = -1
        self.running: list[Job] = []
        self.preempted: list[Job] = []
        self.waiting: list[Job] = []  # saturated: only the head of the infinite backlog
        self.trace = Trace()

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.config.block_size)

    def held_blocks(self, job: Job) -> int:
        return self.blocks_for(job.largest_kv if self.config.admission == "peak" else job.kv)

    def used_blocks(self) -> int:
        return sum(self.held_blocks(job) for job in self.running)

    def event(self, kind: str, job: Job, value: int = 0) -> None:
        self.trace.events.append(Event(len(self.trace.iterations), kind, job.request.index, value))

    def arrive(self) -> None:
        """Move what has arrived to the waiting queue; saturated: only the head of the backlog."""
        skipped = 0
        while self.upcoming is not None:
            request = self.upcoming
            ready = not self.waiting if self.saturated else request.arrival_ns <= self.clock_ns
            if not ready:
                return
            self.upcoming = next(self.requests, None)
            total = request.prompt + request.output
            if self.config.max_model_len is not None and total > self.config.max_model_len:
                skipped += 1
                self.rejected += 0 if self.saturated else 1
                continue
            assert 0 <= request.emitted < (request.output if self.saturated else 1)
            largest = total - 1 if self.config.token_convention == "engine" else total
            self.waiting.append(Job(request, largest, request.emitted, request.arrival_ns, skipped))
            self.arrivals += 0 if self.saturated else 1

    def arrive_or_jump(self) -> bool:
        """Let requests arrive; when idle jump to the next arrival. False where nothing is left to do."""
        self.arrive()
        while not (self.running or self.preempted or self.waiting):
            if self.upcoming is None:
                return False
            self.idle_ns += self.upcoming.arrival_ns - self.clock_ns
            self.clock_ns, self.clock_ps = self.upcoming.arrival_ns, 0
            self.arrive()
        return True

    def start_batch(self) -> None:
        self.budget_left = self.budget
        self.free_blocks = self.blocks - self.used_blocks()
        self.prefill_tokens = self.decodes = self.decode_kv_tokens = self.attention2 = self.preempted_now = 0

    def whole(self, job: Job, kv: int) -> int:
        """Tokens that the job takes in an iteration when it holds so many and the budget allows."""
        left = job.to_prefill - kv
        return min(self.config.prefill_chunk_tokens, left) if left > 0 else 1

    def tokens_now(self, job: Job) -> int:
        return min(self.whole(job, job.kv), self.budget_left)

    def growth(self, job: Job, tokens: int) -> int:
        """Blocks that the running job needs for these tokens beyond those it holds."""
        grown = self.blocks_for(job.kv + tokens) - self.blocks_for(job.kv)
        return 0 if self.config.admission == "peak" else grown

    def take(self, job: Job, tokens: int) -> None:
        """Put these tokens of the job into the batch."""
        assert tokens >= 1, "every running request advances in every iteration"
        last = job is self.running[-1]
        assert tokens == self.whole(job, job.kv) or last, "only the last admitted can get less"
        job.decoded = job.kv >= job.to_prefill
        job.chunk = 0 if job.decoded else tokens
        if job.decoded:
            self.decodes += 1
            self.decode_kv_tokens += job.kv + 1
            job.life = added(job.life, (0, 1, job.kv + 1, 0))
        else:
            self.prefill_tokens += tokens
            attention2 = tokens * (2 * job.kv + tokens)
            self.attention2 += attention2
            job.life = added(job.life, (tokens, 0, 0, attention2))
        job.kv += tokens
        self.budget_left -= tokens

    def serve(self) -> None:
        """Serve the running requests in order of admission; the last admitted gives way for memory."""
        position = 0
        while position < len(self.running):
            job = self.running[position]
            tokens = self.tokens_now(job)
            while position < len(self.running) and self.growth(job, tokens) > self.free_blocks:
                self.preempt(self.running.pop())
            if position < len(self.running):
                self.free_blocks -= self.growth(job, tokens)
                self.take(job, tokens)
            position += 1

    def preempt(self, job: Job) -> None:
        self.event("preempt", job, job.kv)
        self.free_blocks += self.held_blocks(job)
        self.preempted_now += 1
        self.recomputed_tokens += job.kv
        job.preemptions += 1
        if self.config.preemption == "restart":
            job.emitted = 0
            job.first_token_ns = None
        if job.kv < job.to_prefill or job.emitted == 0:  # nothing that it did since its admission is kept
            self.redone = added(self.redone, self.all_work(job))
        job.kv = 0
        self.preempted.insert(0, job)  # it was admitted before all that are preempted already

    def admit(self) -> None:
        """Admit waiting requests in order until one does not fit; none where anything was preempted."""
        self.trace.stops.append(self.admit_until_stopped())

    def admit_until_stopped(self) -> str:
        """Admit, and say what kept the next one out: "kv", "seqs", "tokens", or "" where nothing did."""
        while not self.preempted_now:
            self.arrive()  # saturated: the next head of the backlog
            queue = self.preempted or self.waiting
            if not queue:
                return ""
            if len(self.running) >= self.slots:
                return "seqs"
            if self.budget_left <= 0:
                return "tokens"
            job = queue[0]
            job.to_prefill = job.request.prompt + job.emitted
            tokens = self.tokens_now(job)
            if not self.fits(job, tokens):
                return "kv"
            queue.pop(0)
            self.event("admit", job, job.to_prefill)
            job.life = [0, 0, 0, 0]
            if job.first_scheduled_ns is None:
                self.schedule_first(job)
            self.running.append(job)
            self.take(job, tokens)
            self.free_blocks -= self.held_blocks(job)
        return ""

    def schedule_first(self, job: Job) -> None:
        assert job.request.index > self.last_first_scheduled, "first come first served"
        self.last_first_scheduled = job.request.index
        job.first_scheduled_ns = self.clock_ns
        if self.saturated:
            job.arrival_ns = self.clock_ns
            self.arrivals += 1
            self.rejected += job.skipped_before

    def fits(self, job: Job, tokens: int) -> bool:
        """Whether the admission rule lets the job in, with a first chunk of these tokens."""
        if self.config.admission == "lookahead":
            paths = [
                self.future_kv(job, tokens),
                *(self.future_kv(other, other.kv) for other in self.running),
            ]
            for ahead in range(max(len(path) for path in paths)):
                if sum(self.blocks_for(path[ahead]) for path in paths if ahead < len(path)) > self.blocks:
                    return False
            return True
        needed = {"chunk": tokens, "prompt": job.to_prefill, "peak": job.largest_kv}[self.config.admission]
        watermark = self.config.watermark_blocks if self.running and self.config.admission != "peak" else 0
        return self.blocks_for(needed) + watermark <= self.free_blocks

    def future_kv(self, job: Job, kv: int) -> list[int]:
        """KV in this iteration, the next, ... and the last, at one whole chunk or one token an iteration."""
        path = [kv]
        while path[-1] < job.largest_kv:
            path.append(path[-1] + self.whole(job, path[-1]))
        return path

    def run_batch(self) -> None:
        """Run the batch, move the clock to its end, and let the requests emit and leave."""
        p, d, k, a2 = self.prefill_tokens, self.decodes, self.decode_kv_tokens, self.attention2
        costs = [c0 + c1 * p + c2 * d + c3 * k + (c4 * a2) // 2 for c0, c1, c2, c3, c4 in self.config.planes]
        waiting = len(self.preempted) + (0 if self.saturated else len(self.waiting))
        kv_tokens = sum(job.kv for job in self.running)
        counts = (len(self.running), waiting, kv_tokens, self.used_blocks(), self.preempted_now)
        added_ps, prefills = self.added_to_planes()
        self.trace.prefills.append(prefills)
        iteration = Iteration(self.clock_ns, max(costs) + added_ps, p, d, k, a2, *counts)
        self.check(iteration)
        after_ps = self.clock_ps + iteration.duration_ps
        self.clock_ns, self.clock_ps = self.clock_ns + after_ps // PS_PER_NS, after_ps % PS_PER_NS
        for job in list(self.running):
            if not job.decoded and job.kv == job.to_prefill and job.preemptions and job.emitted:
                self.prefilled_again(job)
            if job.decoded or (self.config.token_convention == "engine" and job.kv == job.to_prefill):
                self.emit(job)
        self.trace.iterations.append(iteration)

    def prefilled_again(self, job: Job) -> None:
        """Count a prefill that restores what a preempted job had; its end may stand for a decode iteration."""
        self.redone = added(self.redone, self.all_work(job))
        if self.config.token_convention == "engine":
            self.redone = added(self.redone, (0, -1, -job.kv, 0, 0, 0, 0))

    def all_work(self, job: Job) -> list[int]:
        """What a job has done since its admission, in the order of REDONE; its prefill in whole chunks."""
        prefilled = job.life[0]
        before = list(range(0, prefilled, self.config.prefill_chunk_tokens))  # each chunk
        return [*job.life, int(prefilled == job.to_prefill), len(before), sum(before)]

    def added_to_planes(self) -> tuple[int, tuple[int, int, int]]:
        """What the batch takes beyond the largest plane, and its prompts that end, chunks and cached tokens."""
        terms = self.config.terms
        chunks = [job for job in self.running if job.chunk > 0]
        decoding = [job for job in self.running if job.chunk == 0]
        ended = sum(1 for job in chunks if job.kv == job.to_prefill)
        cached = sum(job.kv - job.chunk for job in chunks)
        added_ps = len(chunks) * terms.prefill_seq
        added_ps += ended * terms.finished_prompt
        added_ps += cached * terms.prefill_kv_token
        if chunks:
            added_ps += terms.prefills
        if chunks and decoding:
            added_ps += terms.mixed + terms.mixed_kv_token * sum(job.kv for job in decoding)
        if sum(job.chunk for job in chunks) + len(decoding) > terms.jump_beyond:
            added_ps += terms.jump
        return added_ps, (ended, len(chunks), cached)

    def emit(self, job: Job) -> None:
        """Emit one token, and leave if it was the last."""
        request = job.request
        job.emitted += 1
        if job.emitted == 1:
            job.first_token_ns = self.clock_ns
            self.event("first_token", job)
        assert (job.emitted == request.output) == (job.kv == job.largest_kv)
        if job.emitted == request.output:
            assert job.first_scheduled_ns is not None
            self.running.remove(job)
            self.event("finish", job)
            what = (request.index, job.arrival_ns, request.prompt, request.output)
            times = (job.first_scheduled_ns, job.first_token_ns, self.clock_ns)
            self.trace.completed.append(Completed(*what, *times, job.preemptions))

    def check(self, iteration: Iteration) -> None:
        """Assert the invariants of the model while the batch runs."""
        assert self.running, "the head of the queue can never fit: an infeasible configuration"
        assert iteration.prefill_tokens + iteration.decodes <= self.budget
        assert iteration.running <= self.slots
        assert iteration.used_blocks <= self.blocks
        assert self.free_blocks == self.blocks - iteration.used_blocks
        order = [job.request.index for job in self.running + self.preempted + self.waiting]
        assert all(a < b for a, b in pairwise(order)), "first come first served"
        present = len(self.running) + iteration.waiting
        assert self.arrivals == len(self.trace.completed) + present, "requests are conserved"

    def totals(self) -> dict[str, int]:
        """Count what has happened up to now, the end of an iteration."""
        self.arrive()
        return {
            **{f"redone_{what}": done for what, done in zip(REDONE, self.redone, strict=True)},
            "iterations": len(self.trace.iterations),
            "completed": len(self.trace.completed),
            "arrivals": self.arrivals,
            "rejected": self.rejected,
            "recomputed_tokens": self.recomputed_tokens,
            "idle_ns": self.idle_ns,
            "elapsed_ps": self.clock_ns * PS_PER_NS + self.clock_ps,
        }


def simulate(
    config: Config,
    requests: Iterator[Request],
    *,
    saturated: bool,
    warmup_requests: int | None,
    window_requests: int,
) -> Trace:
    """Simulate until `window_requests` are completed after the warm-up, or the requests run out."""
    replica = Replica(config, requests, saturated)
    trace = replica.trace
    start = replica.totals() if warmup_requests == 0 else None
    largest_running = 0
    while trace.window is None and replica.arrive_or_jump():
        replica.start_batch()
        replica.serve()
        replica.admit()
        replica.run_batch()
        completed = len(trace.completed)
        largest_running = max(largest_running, trace.iterations[-1].running)
        automatic = max(MIN_WARMUP_COMPLETIONS, WARMUP_COMPLETIONS_PER_RUNNING * largest_running)
        if start is None:
            if completed >= (automatic if warmup_requests is None else warmup_requests):
                start = replica.totals()
        elif completed - start["completed"] >= window_requests:
            trace.window = window_between(start, replica.totals(), trace)
    trace.rejected = replica.rejected
    return trace


def added(sums: Sequence[int], more: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(sums, more, strict=True)]


def window_between(start: dict[str, int], end: dict[str, int], trace: Trace) -> Window:
    part = slice(start["iterations"], end["iterations"])
    inside = [asdict(iteration) for iteration in trace.iterations[part]]
    sums = {name: sum(row[name] for row in inside) for name in inside[0] if name != "start_ns"}
    passed = {name: end[name] - start[name] for name in start}
    passed["elapsed_ns"], passed["elapsed_ps"] = divmod(passed["elapsed_ps"], PS_PER_NS)
    passed["max_waiting"] = max(row["waiting"] for row in inside)
    passed["backlog_start"] = start["arrivals"] - start["completed"]
    passed["backlog_end"] = end["arrivals"] - end["completed"]
    passed["redone"] = tuple(passed.pop(f"redone_{what}") for what in REDONE)
    stops = trace.stops[part]
    by_stop = {
        stop: sum(row["used_blocks"] for row, s in zip(inside, stops, strict=True) if s == stop)
        for stop in ("kv", "seqs", "tokens", "")
    }
    passed["prefills"] = tuple(map(sum, zip(*trace.prefills[part], strict=True)))
    return Window(sums=sums, preempted=sums["preempted"], stops=stops, blocks_by_stop=by_stop, **passed)
