"""How the app reads JPEG files, model metadata, and NAME.json, on a desktop JVM."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile

import numpy as np
import pytest

pytestmark = pytest.mark.android

RECORD = '{"input_size": 224, "crop_fraction": 0.875, "interpolation": "bicubic"}'


def with_archive(files: dict[str, str], method: int = zipfile.ZIP_STORED, before: bytes = b"TFL3" * 25) -> bytes:
    stream = io.BytesIO(before)
    with zipfile.ZipFile(stream, "a", method) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


@pytest.fixture
def output_of(jvm, tmp_path):
    """`output_of("model", content)`: the driver's output for a file with this content."""

    def output_of(command: str, content: bytes) -> tuple[bool, list[str]]:
        (tmp_path / "file").write_bytes(content)
        return jvm(command, tmp_path / "file")

    return output_of


def test_metadata_is_read(output_of, app_model):
    ok, (labels, preprocess) = output_of("model", app_model)
    assert ok
    assert labels == "tench|große Katze|fire engine, fire truck"
    assert preprocess == "Preprocess(inputSize=32, cropFraction=0.875, interpolation=BILINEAR, fit=CROP)"


def test_offsets_relative_to_the_archive(output_of):
    archive = with_archive({"labels.txt": "a\r\nb\n", "preprocess.json": RECORD}, before=b"")
    assert output_of("model", b"TFL3" * 25 + archive)[1][0] == "a|b"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no ZIP archive at its end"),
        (b"TFL3" * 25, "no ZIP archive at its end"),
        (with_archive({"labels.txt": "a"}), "no preprocess.json"),
        (with_archive({"preprocess.json": RECORD}), "no labels.txt"),
        (with_archive({"labels.txt": "a" * 99, "preprocess.json": RECORD}, zipfile.ZIP_DEFLATED), "compressed"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD})[100:], "out of bounds"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD})[150:], "corrupt"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD}).replace(b"bicubic", b"bicubik"), "checksum"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD.replace("bicubic", "lanczos")}), "lanczos"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD.replace("224", "2.5")}), "must be an integer"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD.replace("0.875", "1.5")}), "crop_fraction"),
        (with_archive({"labels.txt": "a", "preprocess.json": RECORD.replace("0.875", '"x"')}), "must be a number"),
        (with_archive({"labels.txt": "a", "preprocess.json": "[1]"}), "expected a JSON object"),
    ],
)
def test_missing_or_corrupt_metadata(output_of, content, reason):
    ok, output = output_of("model", content)
    assert not ok
    assert reason in output[0]
    assert not output[0].startswith("class ")


def test_every_corruption_raises_invalid_file_exception(output_of):
    whole = with_archive({"labels.txt": "a\nb", "preprocess.json": RECORD})
    rng = np.random.default_rng(0)
    for _ in range(400):
        content = bytearray(whole)
        for at in rng.integers(100, len(whole), rng.integers(1, 4)):
            content[at] = rng.integers(256)
        ok, output = output_of("model", bytes(content[: len(whole) - (rng.integers(40) if rng.random() < 0.3 else 0)]))
        assert ok or not output[0].startswith("class "), output


def exif(order: str, *, kind: int = 3, value: int = 6, before: int = 0) -> bytes:
    """An EXIF payload with the orientation after `before` other entries."""
    entries = [struct.pack(order + "HHIHH", 0x0100 + i, 3, 1, 640, 0) for i in range(before)]
    field = {1: order + "HHIBxxx", 3: order + "HHIHH", 4: order + "HHII"}[kind]
    entries.append(struct.pack(field, 0x0112, kind, 1, value, *([0] if kind == 3 else [])))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return b"Exif\0\0" + head + b"".join(entries) + bytes(4)


def jpeg(*payloads: tuple[int, bytes]) -> bytes:
    """A small JPEG that starts with these segments (marker, payload)."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 60)).save(stream, "JPEG")
    whole = stream.getvalue()
    segments = b"".join(b"\xff" + bytes([m]) + struct.pack(">H", len(p) + 2) + p for m, p in payloads)
    return whole[:2] + segments + whole[2:]


XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_in_both_byte_orders(output_of, order, value):
    assert output_of("orientation", jpeg((0xE1, exif(order, value=value, before=3)))) == (True, [str(value)])


@pytest.mark.parametrize(
    "payloads",
    [
        [],
        [(0xE1, exif("<", value=0))],
        [(0xE1, exif("<", value=9))],
        [(0xE1, exif("<", kind=4))],
        [(0xE1, exif(">", kind=4))],
        [(0xE1, XMP % 8)],
        [(0xE1, XMP % 8), (0xE1, exif("<", value=3))],
        [(0xE1, exif("<", value=1)), (0xE1, XMP % 8)],
        [(0xE0, exif("<"))],
        [(0xFE, b"a comment"), (0xE1, exif(">", value=5))],
        [(0xE1, b"Exif\0\0II")],
    ],
)
def test_orientations_match_pillow(output_of, payloads):
    from PIL import Image

    content = jpeg(*payloads)
    expected = Image.open(io.BytesIO(content)).getexif().get(0x0112, 1)
    expected = expected if expected in range(2, 9) else 1  # Pillow ignores others
    assert output_of("orientation", content) == (True, [str(expected)])


def test_truncated_files_have_an_orientation(output_of):
    content = jpeg((0xE2, b"x" * 5), (0xE1, exif("<", before=2)))
    assert output_of("orientation", content) == (True, ["6"])
    for length in range(0, 90):
        ok, (value,) = output_of("orientation", content[:length])
        assert ok, (length, value)
        assert value in ("1", "6")


def test_only_the_icc_profile_is_removed(jvm, tmp_path):
    from PIL import Image, ImageCms

    image = Image.radial_gradient("L").convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    meta = Image.Exif()
    meta[0x0112] = 6
    image.save(tmp_path / "with.jpg", icc_profile=profile, exif=meta)
    image.save(tmp_path / "without.jpg", exif=meta)

    for name in ("with", "without"):
        assert jvm("profile", tmp_path / f"{name}.jpg", tmp_path / f"{name}.out")[0]
    assert len((tmp_path / "with.jpg").read_bytes()) > len((tmp_path / "without.jpg").read_bytes()) + 400
    assert (tmp_path / "with.out").read_bytes() == (tmp_path / "without.jpg").read_bytes()
    assert (tmp_path / "without.out").read_bytes() == (tmp_path / "without.jpg").read_bytes()


def test_name_json_is_read(output_of, app_assets, floats):
    text = (app_assets / "small.json").read_bytes()
    record = json.loads(text)
    ok, output = output_of("info", text)
    assert ok
    assert output[:6] == [
        "small",
        record["title"],
        "small.tflite",
        str(record["bytes"]),
        record["sha256"],
        "small.golden.rgb",
    ]
    assert floats.array(output[6]).tolist() == [0.5, 0.25, 0.25]
    assert output[7:] == ["0.01", "0.05"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"format": 1', '"format": 3', "format is 3.0"),
        ('"bytes"', '"octets"', "bytes must be a number"),
        ("[0.5, 0.25, 0.25]", '["a"]', "list of numbers"),
        ('"tolerance": 0.01', '"tolerance": null', "tolerance must be a number"),
        ("}}", "}", "unexpected end"),
        ("}}", "}} x", "unexpected text after the end"),
        ('{"format"', '{"format', "invalid JSON"),
        ("0.01", "0.0.1", "invalid JSON"),
    ],
)
def test_invalid_name_json(output_of, app_assets, old, new, reason):
    text = (app_assets / "small.json").read_text()
    assert old in text
    ok, output = output_of("info", text.replace(old, new).encode())
    assert not ok
    assert reason in output[0]


def test_json_escapes(output_of, app_assets):
    record = json.loads((app_assets / "small.json").read_text())
    title = 'a "b" \\ / é 😀 ü \x07'
    for escaped in (True, False):
        ok, output = output_of("info", json.dumps({**record, "title": title}, ensure_ascii=escaped).encode())
        assert ok
        assert output[1] == title


@pytest.mark.parametrize(("name", "dtype"), [("UINT8", np.uint8), ("INT8", np.int8), ("FLOAT32", np.float32)])
def test_quantization_matches_python(jvm, floats, name, dtype):
    from mnext_tf.inference.tflite import dequantize_array, quantize_array

    values = np.concatenate([np.arange(-3, 260, 0.5), np.random.default_rng(0).uniform(-9, 270, 500)]).astype(
        np.float32
    )
    for scale, zero_point in ((1.0, 0), (1.0, -128), (0.9988, 3), (2.0, 7)):
        detail = {"dtype": dtype, "quantization": (scale, zero_point)}
        ok, (written, read) = jvm("tensor", name, scale, zero_point, floats.text(values))
        assert ok
        expected = quantize_array(values, detail)
        assert base64.b64decode(written) == expected.tobytes()
        assert np.array_equal(floats.array(read), dequantize_array(expected, detail))


def test_top_k(jvm, floats):
    assert jvm("top_k", 3, floats.text([0.1, 0.3, 0.2, 0.3, 0.1])) == (True, ["[1, 3, 2]"])
    assert jvm("top_k", 5, floats.text([0.5, 0.6])) == (True, ["[1, 0]"])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [([0.5, 0.25], [0.5, 0.5], "0.25"), ([1, float("nan")], [1, 0], "NaN"), ([1, 2], [1], "NaN"), ([1], [1], "0.0")],
)
def test_max_abs_difference(jvm, floats, a, b, expected):
    assert jvm("difference", floats.text(a), floats.text(b)) == (True, [expected])
