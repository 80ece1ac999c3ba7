"""Times .tflite files against each other on this host.

A shared machine slows down and recovers in seconds, so the files take turns in short rounds and are
compared within a round: what slowed one of them slowed the others too. Many short rounds beat few
long ones: on a busy host with two cores the ratio of a repeated benchmark varied by 2.6 % with 10
rounds of 20 inferences and by 1.0 % with 20 rounds of 10.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from mnext_tf.benchmark.memory import peak_memory_mb
from mnext_tf.errors import ConfigError
from mnext_tf.naming import Network

T = TypeVar("T")

INIT_REPEATS = 3


@dataclass(frozen=True)
class Case:
    """One .tflite file with a number of threads.

    `name` tells files of one network apart: it is that of the run or of the file, and "" for untrained networks.
    `accuracy_check` is for the results: see `results.COLUMNS`. `among` is equal for cases that are compared with each
    other, as far as delegate and threads are, too: width, input size, and precision.
    """

    network: Network | None
    file: Path
    threads: int
    delegate: str = "cpu"  # or "gpu"
    name: str = ""
    accuracy_check: str | None = None
    among: tuple = ()

    @property
    def group(self) -> tuple:
        """Cases of one group are compared with the first of them."""
        return *self.among, self.delegate, self.threads


@dataclass(frozen=True)
class Ratio:
    """Time over that of the group's first model: median and quartiles over the rounds."""

    median: float
    p25: float
    p75: float

    @property
    def is_reference(self) -> bool:
        """Whether it is that of the first model itself."""
        return self.median == self.p25 == self.p75 == 1


@dataclass(frozen=True)
class CaseResult:
    case: Case
    # Construction and allocation, median of `INIT_REPEATS` fresh interpreters; on a GPU a driver may put off
    # compiling its shaders to the first inference, which is not measured.
    init_ms: float
    run_ms: tuple[tuple[float, ...], ...]  # every measured inference, by round
    ratio: Ratio
    peak_memory_mb: float | None
    peak_memory_reason: str | None  # why it is None

    @property
    def round_medians_ms(self) -> list[float]:
        return [float(np.median(times)) for times in self.run_ms]

    @property
    def statistics(self) -> dict[str, float]:
        """min_ms, median_ms, p95_ms, mean_ms and std_ms over all measured inferences."""
        times = np.concatenate(self.run_ms)
        return {
            "min_ms": float(times.min()),
            "median_ms": float(np.median(times)),
            "p95_ms": float(np.percentile(times, 95)),
            "mean_ms": float(times.mean()),
            "std_ms": float(times.std()),
        }

    @property
    def numbers(self) -> dict[str, float | None]:
        """init_ms, `statistics`, ratio with its quartiles ratio_p25 and ratio_p75, and peak_memory_mb."""
        ratio = {"ratio": self.ratio.median, "ratio_p25": self.ratio.p25, "ratio_p75": self.ratio.p75}
        return {"init_ms": self.init_ms, **self.statistics, **ratio, "peak_memory_mb": self.peak_memory_mb}


def benchmark(
    cases: Sequence[Case],
    *,
    rounds: int = 20,
    runs_per_round: int = 10,
    warmup: int = 2,
    seed: int = 0,
    progress: bool = True,
    make_runner: Callable | None = None,
    clock: Callable[[], float] = time.perf_counter,
    memory: Callable[[Path, int], tuple[float | None, str | None]] = peak_memory_mb,
) -> list[CaseResult]:
    """Time every case, in the order given; see `schedule` for how they take turns.

    Args:
      runs_per_round: measured inferences of a case in each round.
      warmup: unmeasured inferences before them; they fill the caches after the previous case.
      seed: of the random pixels.
      make_runner: case -> object with `fill(seed)` and `invoke()`; LiteRT by default. On the CPU an inference
        begins and ends with the pixels and logits in the interpreter's tensors, on the GPU in the host's memory.
      clock: seconds.
      memory: (file, threads) -> (peak memory in units of 1e6 bytes or None, reason); of cases on the CPU.

    Raises:
      ConfigError: no case, or two with the same name. ExportError: a file cannot be run.
    """
    from tqdm import tqdm

    if make_runner is None:
        from mnext_tf.benchmark.runners import make_runner
    _check(cases)
    runners, init_ms = [], []
    for case in cases:
        times = []
        for _ in range(INIT_REPEATS):
            runner = None  # freed before the next one is timed
            start = clock()
            runner = make_runner(case)
            times.append((clock() - start) * 1e3)
        runner.fill(seed)
        runners.append(runner)
        init_ms.append(float(np.median(times)))

    run_ms = [[] for _ in cases]
    order = schedule(cases, rounds)
    with tqdm(total=rounds * len(cases), desc="timing", unit="turn", disable=None if progress else True) as bar:
        for index in itertools.chain.from_iterable(order):
            run_ms[index].append(_time_turn(runners[index], warmup, runs_per_round, clock))
            bar.update()

    peaks = [
        memory(case.file, case.threads) if case.delegate == "cpu" else (None, "GPU memory is not the process's")
        for case in tqdm(cases, "memory", disable=None if progress else True)
    ]
    firsts = {}
    for index, case in enumerate(cases):
        firsts.setdefault(case.group, index)
    return [
        CaseResult(case, init_ms[i], tuple(run_ms[i]), round_ratio(run_ms[i], run_ms[firsts[case.group]]), *peaks[i])
        for i, case in enumerate(cases)
    ]


def schedule(cases: Sequence[Case], rounds: int) -> list[list[int]]:
    """Indices of the cases in the order of each round.

    The cases of a group stand side by side. From round to round groups and cases are reversed, then
    shifted by one: AB, BA, BA, AB for two; all six orders for three.
    """
    groups: dict[tuple, list[int]] = {}
    for index, case in enumerate(cases):
        groups.setdefault(case.group, []).append(index)
    return [
        list(itertools.chain.from_iterable(_turn(group, r) for group in _turn(list(groups.values()), r)))
        for r in range(rounds)
    ]


def _turn(items: list[T], r: int) -> list[T]:
    shift = r // 2 % len(items)
    shifted = items[shift:] + items[:shift]
    return shifted[::-1] if r % 2 else shifted


def _time_turn(runner, warmup: int, runs: int, clock: Callable[[], float]) -> tuple[float, ...]:
    for _ in range(warmup):
        runner.invoke()
    times = []
    for _ in range(runs):
        start = clock()
        runner.invoke()
        times.append((clock() - start) * 1e3)
    return tuple(times)


def round_ratio(times: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> Ratio:
    """Median over median within each round, then median and quartiles of that over the rounds."""
    ratios = [np.median(a) / np.median(b) for a, b in zip(times, reference, strict=True)]
    p25, median, p75 = np.percentile(ratios, [25, 50, 75])
    return Ratio(float(median), float(p25), float(p75))


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise ConfigError("Nothing to time: no model was given.")
    seen = set()
    for case in cases:
        key = (case.network, case.name, case.group)
        if key in seen:
            raise ConfigError(
                f"{case.name or case.network} ({case.delegate}, {case.threads} threads) is given twice. Give each file "
                "once, and two files of one network different names."
            )
        seen.add(key)
