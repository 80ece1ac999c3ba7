"""ImageNet photographs through the page and through `predict`, in float and int8."""

from __future__ import annotations

import pytest

from mnext_tf.export.app_assets import for_apps
from mnext_tf.inference.predictor import open_predictor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.shared]
COUNT, TOLERANCE = 50, 0.01


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_top_1_of_50_photographs_is_that_of_predict(
    serve, open_page, show, imported, sample_images_500, precision, record_property
):
    stage = for_apps(imported, precision)
    path = stage.folder / stage.result["file"]
    photographs = sample_images_500[:COUNT]
    with open_predictor(path) as network:
        expected = network.predict_files(photographs, top=1000)
    largest = 0.0
    with serve([path]) as server, open_page(server) as page:
        for photograph, wanted in zip(photographs, expected, strict=True):
            found = show(page, photograph)
            by_class = {p["class"]: p["probability"] for p in wanted["predictions"]}
            assert int(found[0]["index"]) == wanted["predictions"][0]["class"], photograph.name
            differences = [abs(float(item["value"]) - by_class[int(item["index"])]) for item in found]
            largest = max(largest, *differences)
    record_property("largest_difference", largest)
    print(f"{precision}: largest difference of a probability {largest:.5f}")
    assert largest <= TOLERANCE
