import itertools
from collections import Counter
from pathlib import Path

import pytest

from mnext_tf.benchmark.timing import Case, benchmark, round_ratio, schedule
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.naming import Network


def case(model, file="a.tflite", *, threads=1, precision="float32", width=1.0, delegate="cpu", name=""):
    network = Network(model, width, 1.0, 32, precision)
    return Case(network, Path(file), threads, delegate, name, among=(width, 32, precision))


class FakeRunners:
    """Runners whose inferences take the milliseconds given for their file; they share a clock."""

    def __init__(self, milliseconds):
        self.milliseconds, self.now, self.calls = milliseconds, 0.0, []

    def clock(self):
        return self.now

    def make(self, case):
        outer = self
        outer.now += 1.0

        class Runner:
            def fill(self, seed):
                outer.now += 5.0  # filling the input is no part of the initialisation

            def invoke(self):
                outer.calls.append(case.file.name)
                outer.now += outer.milliseconds[case.file.name] / 1e3

        return Runner()

    def run(self, cases, **kwargs):
        return benchmark(
            cases,
            progress=False,
            make_runner=self.make,
            clock=self.clock,
            memory=lambda file, threads: (threads * 1.5, None),
            **kwargs,
        )


def test_models_take_turns_and_the_order_changes_every_round():
    fake = FakeRunners({"a": 2.0, "b": 3.0})
    fake.run([case("a", "a"), case("b", "b")], rounds=4, runs_per_round=2, warmup=1)
    turns = [(name, len(list(calls))) for name, calls in itertools.groupby(fake.calls)]
    assert turns == [("a", 3), ("b", 6), ("a", 3), ("b", 3), ("a", 6), ("b", 3)]  # AB, BA, BA, AB


def test_every_model_follows_every_other_equally_often():
    cases = [case(name) for name in "abc"]
    rounds = schedule(cases, 6)
    assert sorted(map(tuple, rounds)) == sorted(itertools.permutations(range(3)))
    assert len(set(Counter(pair for r in rounds for pair in itertools.pairwise(r)).values())) == 1


def test_cases_that_are_compared_stand_side_by_side():
    cases = [case(m, threads=t) for m in "ab" for t in (1, 2)]
    for order in schedule(cases, 8):
        threads = [cases[i].threads for i in order]
        assert sorted(order) == [0, 1, 2, 3]
        assert threads[0] == threads[1] != threads[2] == threads[3]


def test_statistics_leave_warmup_and_init_out():
    fake = FakeRunners({"a": 2.0, "b": 3.0})
    a, b = fake.run([case("a", "a"), case("b", "b")], rounds=3, runs_per_round=4, warmup=2)
    assert [len(r) for r in a.run_ms] == [4, 4, 4]
    assert a.init_ms == pytest.approx(1000.0)
    assert a.statistics["median_ms"] == pytest.approx(2.0)
    assert a.statistics["std_ms"] == pytest.approx(0.0, abs=1e-9)
    assert (a.ratio.median, b.ratio.median) == (1.0, pytest.approx(1.5))
    assert b.peak_memory_mb == 1.5


def test_ratio_is_to_the_first_model_of_the_same_group():
    fake = FakeRunners({"a1": 2.0, "a2": 1.0, "b2": 4.0})
    results = fake.run([case("a", "a1"), case("a", "a2", threads=2), case("b", "b2", threads=2)], rounds=2)
    assert [r.ratio.median for r in results] == [1.0, 1.0, pytest.approx(4.0)]


def test_delegates_are_not_compared_and_only_the_cpus_memory_is_measured():
    fake = FakeRunners({"a": 2.0, "b": 3.0, "a on the GPU": 1.0, "b on the GPU": 4.0})
    on_gpu = [case(name, f"{name} on the GPU", delegate="gpu") for name in "ab"]
    results = fake.run([case("a", "a"), case("b", "b"), *on_gpu], rounds=2)
    assert [r.ratio.median for r in results] == pytest.approx([1.0, 1.5, 1.0, 4.0])
    assert [r.peak_memory_mb for r in results] == [1.5, 1.5, None, None]
    assert "GPU" in results[2].peak_memory_reason


def test_ratio_within_rounds_ignores_a_slow_spell_of_the_host():
    reference = [(10.0, 10.0, 99.0), (20.0, 20.0, 20.0), (10.0, 10.0, 10.0)]
    times = [(11.0, 11.0, 11.0), (22.0, 22.0, 22.0), (13.0, 13.0, 13.0)]
    ratio = round_ratio(times, reference)
    assert ratio.median == pytest.approx(1.1)
    assert ratio.p25 == pytest.approx(1.1)
    assert ratio.p75 == pytest.approx(1.2)


def test_nothing_to_time_and_two_that_are_one_are_refused():
    fake = FakeRunners({"a": 1.0})
    with pytest.raises(ConfigError, match="no model"):
        fake.run([])
    with pytest.raises(ConfigError, match="given twice"):
        fake.run([case("a", "a"), case("a", "b")])


def test_real_files_are_timed(tiny_files):
    cases = [
        case("small", tiny_files["small"]),
        case("large", tiny_files["large"]),
        case("small", tiny_files["small_int8"], precision="int8"),
    ]
    small, large, int8 = benchmark(cases, rounds=2, runs_per_round=3, warmup=1, progress=False)
    assert large.ratio.median > 2  # 512 times the work
    assert large.peak_memory_mb > small.peak_memory_mb > 0
    assert int8.statistics["min_ms"] > 0
    assert small.init_ms > 0


def test_a_damaged_file_is_named_with_what_makes_it_again(tmp_path):
    (tmp_path / "cut.tflite").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"cut\.tflite cannot be run.*export_tflite"):
        benchmark([case("a", tmp_path / "cut.tflite")], progress=False)
