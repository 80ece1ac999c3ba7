"""The published training curves that travel in the package."""

import pytest

from mnext_tf.training import curves
from mnext_tf.training.curves import epoch_suffix, published_curve


@pytest.mark.parametrize(
    ("recipe", "epochs", "best", "epoch", "is_ema"),
    [
        ("mnext", 210, 74.02, 208, False),
        ("mnext_id0.5", 210, 74.09, 198, False),
        ("mnext_s", 500, 76.06, 498, True),
        ("mnext_l", 500, 76.59, 457, True),
        ("mnext_l_5.68m", 550, 76.79, 532, True),
    ],
)
def test_the_best_epoch_has_the_published_accuracy(recipe, epochs, best, epoch, is_ema):
    curve = published_curve(recipe)
    lengths = {len(x) for x in (curve.train_loss, curve.val_loss, curve.top1_percent, curve.top5_percent)}
    assert lengths == {epochs}
    assert max(curve.top1_percent) == best
    assert curve.top1(epoch) == best
    assert curve.top1(epochs + 1) is None
    assert curve.top1(0) is None
    assert curve.is_ema == is_ema
    assert all(a <= b for a, b in zip(curve.top1_percent, curve.top5_percent, strict=True))


@pytest.mark.parametrize("recipe", ["", "digits", "mobilenet_v2", "../recipe"])
def test_others_have_none(recipe):
    assert published_curve(recipe) is None
    assert epoch_suffix(published_curve(recipe), 3) == ""


def test_the_line_of_an_epoch():
    assert epoch_suffix(published_curve("mnext"), 100) == "  published on ImageNet 62.93 %"
    assert epoch_suffix(published_curve("mnext_s"), 100) == "  published on ImageNet (EMA) 70.68 %"
    assert epoch_suffix(published_curve("mnext"), 211) == ""


def test_they_are_the_authors_numbers(repository):
    import csv

    source = repository.parent / "shared" / "reference" / "curves" / "mnext_s.csv"
    if not source.is_file():
        pytest.skip(f"the reference data is not there: {source}")
    with open(source, newline="") as f:
        top1 = [float(row["top1"]) for row in csv.DictReader(f)]
    assert list(curves.published_curve("mnext_s").top1_percent) == pytest.approx(top1, rel=5e-4)
