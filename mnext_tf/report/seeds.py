"""Several networks, each trained with several seeds on the same data: which is better, or that it is undecided."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mnext_tf.evaluation.on_validation import Answers, read_answers
from mnext_tf.files import sha256_of
from mnext_tf.naming import command_line
from mnext_tf.report.run_facts import RunFacts
from mnext_tf.runs.run import Run
from mnext_tf.tasks.classification import accuracy_drop_interval

CONFIDENCE = 0.95  # of all pairs of a data set together


@dataclass(frozen=True)
class Training:
    """One seed. value: accuracy, or mAP50, of the finished weights on all validation images, in percent."""

    facts: RunFacts
    seed: int
    value: float
    answers: Answers | None  # None: a detector's, or not evaluated image by image


@dataclass(frozen=True)
class Network:
    """The trainings of one network by one recipe, by seed: two or more."""

    label: str
    trainings: dict[int, Training]

    @property
    def task(self):
        return next(iter(self.trainings.values())).facts.task

    @property
    def data(self) -> str:
        return next(iter(self.trainings.values())).facts.data

    def is_best_of(self, networks: Sequence[Network]) -> bool:
        """Of those on the same data; `networks` as `networks()` orders them."""
        return next(network for network in networks if network.data == self.data) is self

    @property
    def values(self) -> list[float]:
        return [training.value for training in self.trainings.values()]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation of one training, in points."""
        return statistics.stdev(self.values)


@dataclass(frozen=True)
class Votes:
    """Each image votes once: for the network that is right in more of the trainings. Points are of all images."""

    first: int
    second: int
    images: int
    interval: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two networks on the same seeds and images; positive numbers say that the first is better.

    difference: of the means, in points; None where fewer than two seeds are common. interval: of that
    difference over seeds (paired t); None there, too, and where just two seeds differ by the same. votes: None
    where the runs were not evaluated on the same images.
    """

    first: Network
    second: Network
    seeds: tuple[int, ...]
    confidence: float
    difference: float | None
    interval: tuple[float, float] | None
    votes: Votes | None

    @property
    def verdict(self) -> str:
        """In one sentence. A network is better where the lead is significant over seeds and over images."""
        one, two, data = self.first, self.second, self.first.data
        unknown = f"Undecided whether {one.label} or {two.label} is better on {data}"
        if self.interval is None:
            same = self.difference is not None and f", and differ by {self.difference:.2f} points with each"
            return f"{unknown}: they have {len(self.seeds)} seeds in common{same or ''}. Train with more seeds."
        sign = 1 if self.difference >= 0 else -1
        better, worse = (one, two)[::sign]
        by_seeds = _turned(self.interval, sign)[0] > 0
        by_images = self.votes and _turned(self.votes.interval, sign)[0] > 0
        if by_seeds and by_images is not False:
            images = "these images of " if self.votes is None else ""
            return f"{better.label} is better than {worse.label} on {images}{data}: {self._numbers(sign)}."
        more = {
            (True, False): "significant over seeds but not over images. Validate on more images",
            (False, True): "significant over images but not over seeds. Train with more seeds",
            (False, None): "not significant over seeds. Train with more seeds",
            (False, False): "significant neither over seeds nor over images. More of both may decide",
        }
        lead = f"{better.label} is ahead by" if self.difference else "the difference is"
        return f"{unknown}: {lead} {self._numbers(sign)}, {more[by_seeds, by_images]}."

    def _numbers(self, sign: int) -> str:
        """Seen from the network that is ahead."""
        low, high = _turned(self.interval, sign)
        text = (
            f"{abs(self.difference):.2f} points on average of {len(self.seeds)} seeds ({100 * self.confidence:.3g} % "
            f"interval over seeds {low:+.2f} to {high:+.2f}"
        )
        if self.votes:
            low, high = _turned(self.votes.interval, sign)
            text += f", over images {low:+.2f} to {high:+.2f}"
        return f"{text})"


def networks(facts: Sequence[RunFacts]) -> list[Network]:
    """Those of at least two seeds, best first, data set by data set. Of two runs alike the later one counts."""
    groups: dict[str, dict[int, Training]] = {}
    for run in facts:
        if (training := _training(run)) is not None:
            groups.setdefault(_what(run.run), {})[training.seed] = training
    several = [dict(sorted(group.items())) for group in groups.values() if len(group) > 1]
    titles = Counter((group[min(group)].facts.data, group[min(group)].facts.title) for group in several)
    found = []
    for group in several:
        first = group[min(group)].facts
        same = titles[first.data, first.title] > 1  # by other recipes
        found.append(Network(f"{first.title} ({first.name} and others)" if same else first.title, group))
    return sorted(found, key=lambda n: (n.data, -n.mean, n.label))


def _training(facts: RunFacts) -> Training | None:
    run = facts.run
    if run.config.init != "trained" or run.config.recipe is None or not run.finished:
        return None
    answers = read_answers(run)
    value = answers.accuracy if answers else run.manifest("train").result[facts.metric_column]
    return Training(facts, run.config.recipe.seed, 100 * value, answers)


def _what(run: Run) -> str:
    """The same for runs that differ in their seed only."""
    config = run.config.to_dict()
    recipe = {name: value for name, value in config["recipe"].items() if name != "seed"}
    others = [other and other.weights_sha256 for other in (run.config.init_from, run.config.teacher)]
    return sha256_of([config["model"], config["preprocess"], recipe, run.config.dataset.fingerprint, *others])


def pairs(found: Sequence[Network]) -> list[Pair]:
    """Every two networks on the same data; the intervals of a data set hold at CONFIDENCE all together (Bonferroni)."""
    compared = []
    for _, group in itertools.groupby(found, key=lambda n: n.data):
        both = list(itertools.combinations(group, 2))
        compared += [_pair(*two, 1 - (1 - CONFIDENCE) / len(both)) for two in both]
    return compared


def _pair(first: Network, second: Network, confidence: float) -> Pair:
    seeds = tuple(seed for seed in first.trainings if seed in second.trainings)
    mine, others = ([n.trainings[seed] for seed in seeds] for n in (first, second))
    difference = interval = None
    if len(seeds) > 1:
        points = [a.value - b.value for a, b in zip(mine, others, strict=True)]
        difference = statistics.fmean(points)
        if len(set(points)) > 1 or len(points) > 2:  # two equal differences may be chance: accuracies are coarse
            interval = t_interval(points, confidence)
    return Pair(first, second, seeds, confidence, difference, interval, _votes(mine, others, confidence))


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Student's interval of the mean of what `values`, two or more, were drawn from."""
    from scipy.special import stdtrit

    mean, n = statistics.fmean(values), len(values)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * statistics.stdev(values) / math.sqrt(n)
    return mean - half, mean + half


def _votes(mine: Sequence[Training], others: Sequence[Training], confidence: float) -> Votes | None:
    """The trainings of one network on one image are no independent trials: pooled, they would make the interval too
    narrow. So each image counts once, and McNemar's test is exact."""
    answers = [training.answers for training in (*mine, *others)]
    if not answers or None in answers or len({a.images for a in answers}) > 1:
        return None
    ahead = sum(t.answers.correct.astype(int) for t in mine) - sum(t.answers.correct.astype(int) for t in others)
    first, second, images = int((ahead > 0).sum()), int((ahead < 0).sum()), len(ahead)
    counts = {"lost": first, "gained": second, "images": images}
    return Votes(first, second, images, accuracy_drop_interval(counts, confidence))


def _turned(interval: tuple[float, float], sign: int) -> tuple[float, float]:
    return tuple(sorted(sign * end for end in interval))


def missing_evaluations(found: Sequence[Network]) -> list[str]:
    """The commands that evaluate what no comparison by images is possible without; detectors have none."""
    classifiers = [network for network in found if network.task.name == "classification"]
    runs = [t.facts.run.folder for network in classifiers for t in network.trainings.values() if t.answers is None]
    return [command_line("evaluate", {"run": folder}) for folder in runs]
