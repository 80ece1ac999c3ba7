"""What "the same network" means: bounds by precision, and no verdict on what few images cannot tell."""

import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.tasks import Classification
from mnext_tf.tasks.classification import accuracy_drop_interval
from mnext_tf.tasks.tolerance import Tolerance

TASK = Classification()


def measured(lost=0, gained=0, *, right=9800, images=10_000, agreement=1.0, relative=0.0):
    """Numbers of a network beside a reference that has `right` of `images` right."""
    return {
        "images": images,
        "accuracy": (right - lost + gained) / images,
        "top1_agreement": agreement,
        "max_abs_difference": relative,
        "max_relative_difference": relative,
        "lost": lost,
        "gained": gained,
    }


def failures(precision, numbers, trained=True, tolerance=None, right=9800):
    reference = measured(images=numbers["images"], right=right)
    return TASK.failures(numbers, reference, TASK.bounds(precision, tolerance or Tolerance(), trained=trained))


@pytest.mark.parametrize(
    ("precision", "numbers", "trained", "said"),
    [
        ("float32", measured(relative=9e-5), True, None),
        ("float32", measured(relative=2e-4), True, "differ by 0.0002 of the largest logit, allowed 0.0001"),
        ("float16", measured(relative=0.04), True, None),
        ("float16", measured(relative=0.06), False, "differ by 0.06"),
        ("float16", measured(250, 50, relative=0.01), True, "2.00 points below"),
        ("float16", measured(5000, agreement=0.1, relative=0.01), False, None),
        ("int8", measured(149, 50), True, None),
        (
            "int8",
            measured(151, 50),
            True,
            "1.01 points below 98.00 % (95 % interval 0.75 to 1.24 on 10000 images)",
        ),
        (
            "int8",
            measured(agreement=0.89),
            True,
            "agrees on 89.0 % of the images (95 % interval 88.4 to 89.6",
        ),
        ("dynamic", measured(4800), True, "48.00 points below"),
        ("int8", measured(9800, agreement=0.1, relative=0.3), False, None),
        ("int8", measured(9800, agreement=0.1, relative=0.6), False, "0.6 of the largest logit, allowed 0.5"),
        ("int8", measured(relative=float("nan")), True, "not numbers"),
    ],
)
def test_bounds(precision, numbers, trained, said):
    found = failures(precision, numbers, trained)
    assert found == [] if said is None else said in found[0]


def test_better_than_the_reference_is_no_drop():
    assert failures("int8", measured(10, 20), tolerance=Tolerance(max_accuracy_drop=0)) == []


@pytest.mark.parametrize(
    ("lost", "gained", "images", "fails"),
    [(1, 0, 8, False), (5, 0, 360, False), (6, 0, 360, True), (24, 18, 360, False), (40, 18, 360, True)],
)
def test_a_drop_that_chance_explains_is_no_failure(lost, gained, images, fails):
    """On 8 images each is 12.5 points; 5 of 5 changed images for the worse happen by chance 1 time in 32."""
    numbers = measured(lost, gained, images=images, right=images)
    assert bool(failures("int8", numbers, right=images)) == fails


@pytest.mark.parametrize(
    ("agreeing", "images", "fails"), [(6, 8, False), (4, 8, True), (86, 100, False), (82, 100, True)]
)
def test_a_low_agreement_of_few_images_is_judged_by_its_interval(agreeing, images, fails):
    numbers = measured(images=images, right=images, agreement=agreeing / images)
    assert bool(failures("int8", numbers, right=images)) == fails


def test_intervals_by_hand():
    assert accuracy_drop_interval(measured(images=100)) == (0, 0)
    low, high = accuracy_drop_interval(measured(6, 0, images=100))
    assert low == pytest.approx(6 * (2 * 0.025 ** (1 / 6) - 1))  # Clopper and Pearson for 6 of 6
    assert high == 6


def test_tolerance_ranges():
    with pytest.raises(ConfigError, match="max_accuracy_drop must be at least 0 and at most 100"):
        Tolerance(max_accuracy_drop=-1)
    with pytest.raises(ConfigError, match="min_agreement"):
        Tolerance(min_agreement=90)
