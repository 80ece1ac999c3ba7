import dataclasses
import json

import numpy as np
import pytest

from mnext_tf.data import open_dataset, reopen_dataset
from mnext_tf.data.detection_pipeline import stored_truth
from mnext_tf.data.opening import has_records
from mnext_tf.data.sources import object_records
from mnext_tf.errors import DataError
from mnext_tf.runs.config import DatasetConfig

AT = "image/object/"
BOX = (0.1, 0.2, 0.3, 0.4)


def feature(name, values):
    import tensorflow as tf

    if (values and isinstance(values[0], bytes)) or name.endswith(("text", "encoded")):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if (values and isinstance(values[0], float)) or "bbox/" in name:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def write(path, *records):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            features = tf.train.Features(feature={name: feature(name, values) for name, values in record.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())


@pytest.fixture
def record(encode):
    """`record(7, (label, box), …, difficult=[0])`: one as the Object Detection API's scripts write it."""

    def record(seed, *objects, **more):
        columns = zip(*(box for _, box in objects), strict=True) if objects else ((),) * 4
        corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), columns, strict=True))
        return {
            "image/encoded": [encode("JPEG", seed=seed)],
            "image/filename": [f"{seed}.jpg".encode()],
            **{f"{AT}bbox/{corner}": [float(v) for v in values] for corner, values in corners.items()},
            f"{AT}class/label": [label for label, _ in objects],
            f"{AT}class/text": [f"class {label}".encode() for label, _ in objects],
            **{f"{AT}{name}": values for name, values in more.items()},
        }

    return record


def objects_of(dataset, split):
    return {name: truth.objects for name, _, truth in stored_truth(dataset, split)}


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("train-00000-of-00001", "validation-00000-of-00001"),
        ("pascal_train.record", "pascal_val.record"),
        ("coco_train.record-00000-of-00001", "coco_val.record-00000-of-00001"),
        ("train.tfrecord", "test.tfrecord"),
    ],
)
def test_records_of_others_are_read_in_place(tmp_path, record, train, validation):
    folder = tmp_path / "set"
    folder.mkdir()
    first = record(0, (1, BOX), (3, (0.5, 0.5, 1.5, 0.9)), difficult=[1, 0], truncated=[0, 1], is_crowd=[0, 1])
    write(folder / train, first, record(1), record(2, (3, BOX)))
    write(folder / validation, record(3, (1, BOX)))
    assert has_records(folder)
    dataset = open_dataset(folder, tmp_path / "cache")
    assert (dataset.task, dataset.metrics, dataset.label_offset) == ("detection", "coco", 1)
    assert dataset.class_names == ("class 1", "2", "class 3")
    assert dataset.splits == {"train": 3, "validation": 1}
    assert dataset.box_counts == {"train": (1, 0, 2), "validation": (1, 0, 0)}
    objects = objects_of(dataset, "train")["0.jpg"]
    np.testing.assert_allclose(objects.boxes, [BOX, (0.5, 0.5, 1, 0.9)])
    assert objects.labels.tolist() == [0, 2]
    assert (objects.difficult.tolist(), objects.crowd.tolist()) == ([True, False], [False, True])
    assert objects.truncation.tolist() == [0, 1]
    np.testing.assert_allclose(objects.area, [0.04 * 1200, 0.2 * 1200], rtol=1e-5)
    assert len(objects_of(dataset, "train")["1.jpg"]) == 0
    description = DatasetConfig.from_dict(json.loads(json.dumps(DatasetConfig.of(dataset).to_dict())))
    assert reopen_dataset(description, 3) == dataclasses.replace(dataset, cache_dir=dataset.cache_dir.absolute())


def test_a_share_is_held_out_and_the_scan_is_kept(tmp_path, record, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train-00000-of-00001", *(record(i, (1, BOX)) for i in range(20)))
    dataset = open_dataset(folder, tmp_path / "cache", validation_share=0.4)
    assert 0 < dataset.splits["validation"] < 16
    names = [set(objects_of(dataset, split)) for split in ("train", "validation")]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 20
    monkeypatch.setattr(object_records, "_read_all", None)
    assert open_dataset(folder, tmp_path / "cache", validation_share=0.4) == dataset


def test_labels_from_0_after_the_error_that_asks_for_them(tmp_path, record):
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "val"):
        write(folder / f"{split}.record", record(len(split), (0, BOX), (1, BOX)))
    with pytest.raises(DataError, match="Give label_offset=0"):
        open_dataset(folder, tmp_path / "cache")
    dataset = open_dataset(folder, tmp_path / "cache", label_offset=0)
    assert dataset.class_names == ("class 0", "class 1")
    assert dataset.box_counts == {"train": (1, 1), "validation": (1, 1)}


def test_names_from_a_label_map(tmp_path, record):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.record", record(0, (1, BOX)))
    write(folder / "val.record", record(1, (1, BOX)))
    (folder / "map.pbtxt").write_text(
        "item {\n  id: 2\n  name: '/m/1'\n  display_name: \"dog\"\n}\nitem { name: 'cat' id: 1 }"
    )
    assert open_dataset(folder, tmp_path / "cache").class_names == ("cat", "dog")
    with pytest.raises(DataError, match="another order"):
        open_dataset(folder, tmp_path / "cache", class_names=["dog", "cat"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{AT}bbox/xmax": [0.5, 0.6]}, r"has 1 image/object/class/label and .* 2 image/object/bbox/xmax"),
        ({f"{AT}difficult": [1, 0]}, r"has 1 image/object/class/label and 2 image/object/difficult values"),
        ({f"{AT}difficult": [0.5]}, r"has a float_list for image/object/difficult; int64_list is needed"),
        ({f"{AT}class/label": [0]}, r"has the label 0, which .* keep for the background"),
        ({"image/encoded": []}, r"has 0 image/encoded values"),
        ({"image/encoded": [b"GIF89a"]}, "is neither JPEG nor PNG"),
        ({f"{AT}bbox/xmax": [0.05]}, "no training image has a box"),
    ],
)
def test_records_that_do_not_fit(tmp_path, record, change, message):
    write(tmp_path / "train.record", {**record(0, (1, BOX)), **change})
    write(tmp_path / "val.record", record(1, (1, BOX)))
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path, tmp_path / "cache")


def test_sets_that_are_not_whole(tmp_path, record):
    write(tmp_path / "a_train.record-00000-of-00002", record(0, (1, BOX)))
    with pytest.raises(DataError, match="has 1 of 2 train shards"):
        open_dataset(tmp_path, tmp_path / "cache")
    write(tmp_path / "b_train.record", record(0, (1, BOX)))
    with pytest.raises(DataError, match="has 2 sets of train shards: a_train of 00002, b_train"):
        open_dataset(tmp_path, tmp_path / "cache")


def test_our_own_records_without_their_description(tmp_path):
    scenes = open_dataset("scenes", tmp_path)
    (scenes.folder / "dataset.json").unlink()
    again = open_dataset(scenes.folder, tmp_path / "cache")
    same = ("class_names", "splits", "label_offset", "fingerprint", "box_counts", "task", "metrics", "keys")
    assert {key: getattr(again, key) for key in same} == {key: getattr(scenes, key) for key in same}


def tfds_folder(folder, group, records):
    """A folder as TFDS leaves it; group: features of each object beside its box."""
    inner = {"bbox": {"pythonClassName": "tensorflow_datasets.core.features.bounding_boxes.BBoxFeature"}, **group}
    sequence = {"feature": {"pythonClassName": "x.FeaturesDict", "featuresDict": {"features": inner}}, "length": "-1"}
    kind = "tensorflow_datasets.core.features.sequence_feature.Sequence"
    features = {
        "image": {"pythonClassName": "tensorflow_datasets.core.features.image_feature.Image"},
        "objects": {"pythonClassName": kind, "sequence": sequence},
        "labels": {"pythonClassName": kind, "sequence": {}},
    }
    name = folder.parts[-3] if folder.parts[-2].isdigit() else folder.parts[-2]
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        write(folder / f"{name}-{split}.tfrecord-00000-of-00001", *records)
    splits = [{"name": split, "shardLengths": [str(len(records))]} for split in ("train", "validation")]
    config = {"configName": folder.parts[-2]} if folder.parts[-2].isdigit() else {}
    info = {"name": name, "splits": splits, "fileFormat": "tfrecord", **config}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    return folder


def class_label(count):
    return {"pythonClassName": "x.ClassLabel", "classLabel": {"numClasses": str(count)}}


def test_voc_and_coco_of_tfds(tmp_path, encode):
    record = {
        "image": [encode("JPEG")],
        "image/filename": [b"a.jpg"],
        "objects/bbox": [0.2, 0.1, 0.4, 0.3, 0.0, 0.0, 1.0, 1.0],  # y_min, x_min, y_max, x_max
        "objects/label": [1, 0],
        "objects/is_difficult": [0, 1],
        "objects/is_truncated": [1, 0],
    }
    empty = {"image": [encode("JPEG", seed=1)], "image/filename": [b"b.jpg"]}
    folder = tfds_folder(tmp_path / "voc/2007/5.0.0", {"label": class_label(2)}, [record, empty])
    (folder / "objects-label.labels.txt").write_text("cat\ndog\n")
    dataset = open_dataset(folder, tmp_path / "cache")
    assert (dataset.task, dataset.metrics, dataset.class_names) == ("detection", "voc07", ("cat", "dog"))
    assert dataset.box_counts["train"] == (1, 1)
    a = objects_of(dataset, "train")["a.jpg"]
    np.testing.assert_allclose(a.boxes, [BOX, (0, 0, 1, 1)])
    assert (a.labels.tolist(), a.ignored.tolist(), a.truncation.tolist()) == ([1, 0], [False, True], [1, 0])
    assert len(objects_of(dataset, "train")["b.jpg"]) == 0
    crowd = {**record, "objects/is_crowd": [1, 0], "objects/area": [77, 88]}
    coco = open_dataset(
        tfds_folder(tmp_path / "coco/2017/1.1.0", {"label": class_label(80)}, [crowd]), tmp_path / "cache"
    )
    assert (coco.metrics, coco.num_classes) == ("coco", 80)
    objects = objects_of(coco, "train")["a.jpg"]
    assert (objects.crowd.tolist(), objects.area.tolist()) == ([True, False], [77, 88])


def test_kitti_of_tfds_counts_from_the_bottom(tmp_path, encode):
    import tensorflow as tf

    from mnext_tf.data.detection_pipeline import parse_objects
    from mnext_tf.data.tfrecord import read_records

    record = {
        "image": [encode("PNG")],
        "image/file_name": [b"000001.png"],
        "objects/bbox": [0.6, 0.1, 0.8, 0.3],
        "objects/type": [2],
        "objects/truncated": [0.5],
        "objects/occluded": [3],
    }
    folder = tfds_folder(tmp_path / "kitti/3.3.0", {"type": class_label(8), "occluded": class_label(4)}, [record])
    dataset = open_dataset(folder, tmp_path / "cache")
    assert (dataset.metrics, dataset.keys) == ("kitti", ("image", "objects/type"))
    objects = objects_of(dataset, "train")["000001.png"]
    np.testing.assert_allclose(objects.boxes, [BOX], rtol=1e-6)
    assert (objects.truncation.tolist(), objects.occlusion.tolist()) == ([0.5], [3])
    (serialized,) = read_records(dataset.shard_paths("train")[0])
    np.testing.assert_allclose(parse_objects(tf.constant(serialized), dataset)[1], [BOX], rtol=1e-6)
