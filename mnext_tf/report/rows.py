"""One row of latency, whether it was measured on this host or on a phone."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.benchmark.results import Results, delegated_text
from mnext_tf.benchmark.timing import Ratio
from mnext_tf.device.log_profile import Operator
from mnext_tf.naming import PRECISIONS, Network, network_of
from mnext_tf.report import published
from mnext_tf.report.markdown import threads_text

CHARGING = "charging"
NOT_CHECKED = "exported for timing alone: its accuracy was not checked"

_NOT_THE_DELEGATE = re.compile(
    r"model graph will not be|Failed to apply|failed to prepare|original execution plan|computes on the CPU", re.I
)


@dataclass(frozen=True)
class Source:
    """A benchmark on this host, or a session on a phone."""

    folder: Path
    name: str
    platform: str  # AMD EPYC; Google Pixel 4
    details: str  # AMD EPYC, 2 cores; Google Pixel 4, Qualcomm SM8150, Android 13
    tool: str
    on_phone: bool


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Rounds of one file, asked for one backend with one number of threads, that one processor ran.

    Where rounds were run by different processors there is a row for each. A row without rounds says why.
    """

    source: Source
    network: Network | None  # None where the file's name does not tell it
    file: str  # on a phone its name there, without the ending
    name: str = ""  # of the run that was timed, or of the file that anyone made
    kind: tuple[int, str] | None = None  # input size and precision, also where the network is unknown
    sha256: str | None = None
    sha256_device: str | None = None
    file_mb: float | None = None
    backend: str  # asked for: cpu, gpu, nnapi
    threads: int
    ran_on: str  # as `Log.ran_on`; software_gpu: an adapter that computes on the CPU; "" without rounds
    adapter: str = ""
    rounds: tuple[int, ...] = ()
    round_ms: tuple[float, ...] = ()  # of the inferences of each round
    statistic: str = "median"  # of each round; average where a build prints no median
    inferences: int | None = None  # in all rounds
    ratio: Ratio | None = None  # to the first network of the benchmark
    first_ms: float | None = None  # medians over the rounds, as is init_ms
    init_ms: float | None = None
    memory_overall_mb: float | None = None  # of runs for memory alone
    memory_peak_mb: float | None = None
    delegate: str | None = None
    delegated: str = ""  # "62 of 66"; several where rounds differ
    operators: tuple[Operator, ...] = ()  # the slowest, of a run for the profile alone
    masks: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    battery_celsius: tuple[float, float] | None = None  # lowest and highest
    flags: tuple[str, ...] = ()  # what makes its numbers doubtful
    remarks: tuple[str, ...] = ()  # warnings of the tool
    failures: tuple[str, ...] = ()  # "2 runs: why"

    @property
    def median_ms(self) -> float | None:
        return statistics.median(self.round_ms) if self.round_ms else None

    @property
    def quartiles_ms(self) -> tuple[float, float]:
        """Of the rounds; they enclose `median_ms`."""
        if len(self.round_ms) < 2:
            return self.round_ms[0], self.round_ms[0]
        low, _, high = statistics.quantiles(self.round_ms, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float | None:
        """Slowest round less fastest, over the median."""
        return (max(self.round_ms) - min(self.round_ms)) / self.median_ms if self.round_ms else None

    @property
    def doubts(self) -> tuple[str, ...]:
        return (*self.flags, *self.remarks[:3])

    @property
    def is_doubtful(self) -> bool:
        """For more than charging, which a phone on a cable always does."""
        return any(doubt not in (CHARGING, NOT_CHECKED) for doubt in self.doubts)

    @property
    def as_asked(self) -> bool:
        """Whether the backend that was asked for ran all of it."""
        return bool(self.round_ms) and self.ran_on == self.backend

    @property
    def is_unproven(self) -> bool:
        """Whether `ran_on` is the CPU only because the log shows no other; else the log itself says what ran it."""
        said = self.delegate or self.delegated != "not said" or any(_NOT_THE_DELEGATE.search(r) for r in self.remarks)
        return self.ran_on == "cpu" != self.backend and not said

    @property
    def verdict(self) -> str:
        """What ran it, in words, for every table and plot."""
        if not self.round_ms:
            return "failed" if self.failures else "nothing ran"
        if self.is_unproven:
            return f"nothing shows that it ran on {processor(self.backend)}"
        return f"ran on {processor(self.ran_on)}"

    @property
    def title(self) -> str:
        if not self.network:
            return self.name or self.file
        return f"{self.network.title} ({self.name})" if self.name else self.network.title

    @property
    def precision_text(self) -> str:
        return self.network.precision_text if self.network else self.kind[1] if self.kind else "-"

    @property
    def input_size(self) -> int | None:
        return self.network.input_size if self.network else self.kind[0] if self.kind else None

    @property
    def asked(self) -> str:
        """Beside the title, for plots and notes."""
        pixels = f" {self.input_size} px" if self.input_size else ""
        return f"{self.precision_text}{pixels} {self.backend.upper()}, {threads_text(self.threads)}"


def processor(ran_on: str) -> str:
    """In words."""
    name = ran_on.removesuffix("_partial")
    words = {"cpu": "the CPU", "gpu": "the GPU", "nnapi": "NNAPI", "other": "another delegate"}
    words |= {"wasm": "the CPU, as WebAssembly", "webgpu": "the GPU, by WebGPU"}
    words["software_gpu"] = "software on the CPU, not a GPU"
    return "partly " * (name != ran_on) + words.get(name, name)


def host_rows(results: Results, name: str) -> list[Measurement]:
    """Rows of a benchmark on this host, in the order in which they were timed; `name` is the benchmark's."""
    cpu, cores = results.host["cpu"], results.host["cores"]
    source = Source(results.folder, name, cpu, f"{cpu}, {cores} cores", "LiteRT", on_phone=False)
    return [
        Measurement(
            source=source,
            network=_network(row),
            kind=(row["input_size"], row["quantize"]),
            file=row["file"],
            name=row["name"],
            sha256=row["sha256"],
            file_mb=row["file_mb"],
            backend="cpu" if row["delegate"] == "xnnpack" else "gpu",
            threads=row["threads"],
            ran_on="cpu" if row["delegate"] == "xnnpack" else row["delegate"],
            adapter=row["adapter"] or "",
            rounds=tuple(range(1, row["rounds"] + 1)),
            round_ms=tuple(row["round_medians_ms"]),
            inferences=row["runs"],
            ratio=Ratio(row["ratio"], row["ratio_p25"], row["ratio_p75"]),
            init_ms=row["init_ms"],
            memory_peak_mb=row["peak_memory_mb"],
            delegate="XNNPACK" if row["delegate"] == "xnnpack" else row["adapter"],
            delegated=delegated_text(row["nodes_delegated"], row["nodes_total"], row["not_delegated"]),
            flags=(NOT_CHECKED,) if row["accuracy_check"] == "not checked" else (),
        )
        for row in results.rows
    ]


def _network(row: dict) -> Network | None:
    """None for a file whose name did not tell it; a file of ours with another input or output has its variant."""
    if row["model"] is None:
        return None
    named = network_of(Path(row["file"]).stem)
    variant = named.variant if named and named.model == row["model"] else ""
    share = row["identity_tensor_multiplier"]
    return Network(row["model"], row["width"], share, row["input_size"], row["quantize"], variant)


def ordered(rows: Sequence[Measurement]) -> list[Measurement]:
    """By source, precision, size, backend, and threads, then networks as in the published table: those that are
    compared stand together."""

    def key(row: Measurement) -> tuple:
        n = row.network
        if n is None:
            return True, *(row.kind or ())[::-1], row.backend, row.threads, row.title
        what = (PRECISIONS.index(n.precision), n.variant, -n.input_size, row.backend, row.threads)
        return False, *what, published.ORDER.get(n.model, 1), -n.width, n.share, row.name

    return sorted(rows, key=lambda row: (row.source.on_phone, str(row.source.folder), *key(row)))
