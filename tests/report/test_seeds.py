"""Several networks trained with several seeds: which is better, or that it is undecided."""

import csv
import dataclasses

import pytest
from PIL import Image
from support.reports import evaluated, report, table

from mnext_tf.files import read_json
from mnext_tf.report import seeds
from mnext_tf.report.run_facts import read_runs
from mnext_tf.runs.config import DatasetConfig, InitialWeights
from mnext_tf.runs.run import open_run
from mnext_tf.training.recipe import Recipe

IMAGES = 200
RECIPE = Recipe(epochs=2, warmup_epochs=0, cooldown_epochs=0, flip=False, input_size=32)


@pytest.fixture
def trainings(tmp_path, run_maker):
    """`trainings(model, [150, 152])`: runs with seeds 0, 1, of which the first 150 and 152 of 200 images are right."""

    def trainings(model, right, *, evaluate=True, name=None, shift=0, **fields):
        folders = []
        for seed, count in enumerate(right):
            folder = tmp_path / f"{name or model}-seed{seed}"
            fields = {"dataset": DatasetConfig("digits", "/data", "0", 100, IMAGES), **fields}
            run_maker(folder, model, recipe=dataclasses.replace(RECIPE, seed=seed), seed=seed, **fields)
            evaluated(folder, [shift <= i < count + shift for i in range(IMAGES)])
            if not evaluate:
                (folder / "evaluation" / "evaluation.json").unlink()
            folders.append(folder)
        return folders

    return trainings


def compared(folders):
    found = seeds.networks(read_runs([open_run(f) for f in folders]))
    return found, seeds.pairs(found)


def test_a_network_that_wins_by_seeds_and_images_is_better(tmp_path, trainings):
    text = report(tmp_path, [], trainings("mnext", [150, 152, 151]) + trainings("mobilenet_v2", [120, 121, 124]))
    summary = text.split("\n\n")[1].splitlines()
    assert summary[0].startswith("- MobileNeXt 1.0 is better than MobileNetV2 1.0 on digits: 14.67 points on average")
    first, second = table(text, "## Comparison over seeds")[2:]
    assert first == ["MobileNeXt 1.0", "digits", "0, 1, 2", "75.50", "0.50", "75.00-76.00", "1"]
    assert second[3] == "60.83"
    with Image.open(tmp_path / "report" / "seeds.png") as image:
        assert image.width > 500
    with open(tmp_path / "report" / "seeds.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [(r["network"], r["seed"], float(r["val_accuracy"])) for r in rows[:2]] == [
        ("MobileNeXt 1.0", "0", 75.0),
        ("MobileNeXt 1.0", "1", 76.0),
    ]
    (pair,) = read_json(tmp_path / "report" / "seeds.json")["pairs"]
    assert (pair["images_for_first"], pair["images_for_second"]) == (32, 0)  # images 120 to 151


@pytest.mark.parametrize(
    ("mine", "others", "shift", "said"),
    [
        ([150, 151, 152], [148, 149, 150], 0, "significant over seeds but not over images"),
        ([150, 185, 150], [148, 120, 120], 0, "significant over images but not over seeds"),
        ([150, 148, 152], [149, 151, 148], 9, "significant neither over seeds nor over images"),
    ],
)
def test_an_undecided_pair_says_what_would_decide_it(trainings, mine, others, shift, said):
    _, (pair,) = compared(trainings("mnext", mine) + trainings("mobilenet_v2", others, shift=shift))
    assert pair.verdict.startswith("Undecided whether MobileNeXt 1.0 or MobileNetV2 1.0 is better on digits")
    assert said in pair.verdict


def test_the_intervals_are_those_of_scipy(trainings):
    from scipy.stats import binomtest, ttest_rel

    mine, others = [150, 151, 155], [141, 139, 149]
    _, (pair,) = compared(trainings("mnext", mine) + trainings("mobilenet_v2", others, shift=3))
    expected = ttest_rel(mine, others).confidence_interval(0.95)
    assert pair.interval == pytest.approx([100 * end / IMAGES for end in expected])
    assert (pair.votes.first, pair.votes.second) == (15, 0)  # images 0 to 2, 142 to 150, 152 to 154
    exact = binomtest(15, 15).proportion_ci(0.95, "exact")
    assert pair.votes.interval == pytest.approx([100 * (2 * share - 1) * 15 / IMAGES for share in exact])


def test_images_vote_once_however_many_seeds(trainings):
    few, many = [148, 148], [148] * 6
    _, (two,) = compared(trainings("mnext", [150] * 2) + trainings("mobilenet_v2", few))
    _, (six,) = compared(trainings("mnext", [150] * 6) + trainings("mobilenet_v2", many))
    assert two.votes == six.votes


def test_three_networks_are_compared_more_carefully(trainings):
    runs = trainings("mnext", [150, 151]) + trainings("mobilenet_v2", [140, 141])
    _, (alone,) = compared(runs)
    found, pairs = compared([*runs, *trainings("mobilenet_v1", [130, 133])])
    assert [network.label for network in found] == ["MobileNeXt 1.0", "MobileNetV2 1.0", "MobileNetV1 1.0"]
    assert [pair.confidence for pair in pairs] == pytest.approx([1 - 0.05 / 3] * 3)
    assert pairs[0].votes.interval[0] < alone.votes.interval[0]


def test_only_what_differs_in_the_seed_alone_is_one_network(trainings):
    start = InitialWeights("/runs/a", "0" * 64)
    found, _ = compared(
        [
            *trainings("mnext", [150, 151]),
            *trainings("mnext", [160, 161], name="tuned", init_from=start),
            *trainings("mobilenet_v2", [150]),
        ]
    )
    labels = ["MobileNeXt 1.0 (tuned-seed0 and others)", "MobileNeXt 1.0 (mnext-seed0 and others)"]
    assert [network.label for network in found] == labels


def test_runs_that_were_not_evaluated_are_compared_by_seed_and_the_page_says_how_to_do_it(tmp_path, trainings):
    runs = trainings("mnext", [150, 151, 152]) + trainings("mobilenet_v2", [140, 141, 142], evaluate=False)
    text = report(tmp_path, [], runs)
    assert "MobileNeXt 1.0 is better than MobileNetV2 1.0 on these images of digits: 5.00 points" in text
    assert f"`python -m pipelines.evaluate --run={runs[3]}`" in text


def test_without_common_seeds_nothing_is_said(trainings):
    _, (pair,) = compared(trainings("mnext", [150, 151]) + trainings("mobilenet_v2", [1, 2, 3, 4])[2:])
    assert "they have 0 seeds in common. Train with more seeds." in pair.verdict


def test_one_seed_each_is_no_comparison(tmp_path, trainings):
    text = report(tmp_path, [], trainings("mnext", [150]) + trainings("mobilenet_v2", [140]))
    assert "Comparison over seeds" not in text
    assert not (tmp_path / "report" / "seeds.csv").exists()
