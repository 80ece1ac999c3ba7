"""Numbers from predictions, against counting by hand."""

import numpy as np

from mnext_tf.evaluation import metrics

LOGITS = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, -1.0], [-2.0, -3.0, -1.0], [0.0, 1.0, 2.0]])
LABELS = np.array([1, 1, 2, 0])


def test_top_classes_are_ordered_and_ties_go_to_the_smaller_index():
    assert metrics.top_classes(LOGITS, 2).tolist() == [[1, 2], [0, 1], [2, 0], [2, 1]]
    assert metrics.top_classes(LOGITS, 5).shape == (4, 3)


def test_accuracy_within_the_first_k():
    top = metrics.top_classes(LOGITS, 3)
    assert [metrics.accuracy(top, LABELS, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_confusion_matrix_per_class_and_mistakes():
    matrix = metrics.confusion_matrix(np.array([1, 0, 2, 2]), LABELS, 4)
    assert matrix.tolist() == [[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    rows = metrics.per_class(matrix, ("a", "b", "c", "never"))
    assert [(r["name"], r["images"], r["accuracy"], r["precision"]) for r in rows] == [
        ("a", 1, 0.0, 0.0),
        ("b", 2, 0.5, 1.0),
        ("c", 1, 1.0, 0.5),
    ]
    assert metrics.confusions(matrix, ("a", "b", "c", "never")) == [
        {"label": "a", "prediction": "c", "images": 1},
        {"label": "b", "prediction": "a", "images": 1},
    ]


def test_a_class_predicted_but_without_images_has_no_accuracy():
    (row,) = metrics.per_class(np.array([[0, 0], [0, 0]]) + np.array([[0, 1], [0, 0]]), ("a", "b"))[1:]
    assert (row["images"], row["predicted"], row["accuracy"], row["precision"]) == (0, 1, None, 0.0)
