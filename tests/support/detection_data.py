"""The photographs with boxes beside the repository, as Truths, read without the library."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from support.detections import objects

from mnext_tf.data.objects import Truth


def coco128(folder: Path) -> tuple[list[Truth], list[str]]:
    """All images, and the names of the 80 classes."""
    content = json.loads((folder / "annotations/instances_val2017.json").read_text())
    classes = {c["id"]: i for i, c in enumerate(content["categories"])}
    of_image: dict = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    truths = []
    for image in content["images"]:
        found, size = of_image[image["id"]], np.array([image["width"], image["height"]] * 2)
        corners = np.array([a["bbox"] for a in found]).reshape(-1, 4)
        boxes = np.hstack([corners[:, :2], corners[:, :2] + corners[:, 2:]]) / size
        labels, crowd = [classes[a["category_id"]] for a in found], [a["iscrowd"] for a in found]
        o = objects(boxes, labels, crowd=crowd, area=[a["area"] for a in found])
        truths.append(Truth(image["file_name"], image["width"], image["height"], o))
    return truths, [c["name"] for c in content["categories"]]


def bccd(folder: Path, most: int) -> tuple[list[Truth], list[str]]:
    """The first images, and the names of the three kinds of blood cell."""
    names, truths = ["Platelets", "RBC", "WBC"], []
    for path in sorted((folder / "Annotations").glob("*.xml"))[:most]:
        root = ElementTree.parse(path).getroot()
        size = [int(root.findtext(f"size/{side}")) for side in ("width", "height")]
        edges, labels = [], []
        for item in root.iter("object"):
            x_min, y_min, x_max, y_max = (int(item.findtext(f"bndbox/{e}")) for e in ("xmin", "ymin", "xmax", "ymax"))
            edges.append([x_min - 1, y_min - 1, x_max, y_max])
            labels.append(names.index(item.findtext("name")))
        o = objects(np.array(edges).reshape(-1, 4) / (size * 2), labels)
        truths.append(Truth(f"{path.stem}.jpg", *size, o))
    return truths, names
