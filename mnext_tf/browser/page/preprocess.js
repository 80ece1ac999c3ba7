// From an image to what a network takes, as mnext_tf/data/preprocess.py does it: the same kernels, sizes, and offsets.

const MAX_ASPECT = 8; // long side over short side, of what is resized
const MAX_PIXELS = 64 * 2 ** 20;
const RADIUS = { bilinear: 1, bicubic: 2 };
const NEWEST_VERSION = 2;

/** Raises Error for a record that this page cannot follow. */
export function checkRecord(record) {
  const known = ["bicubic", "bilinear", "nearest"].includes(record.interpolation);
  const fits = ["crop", "squash"].includes(record.fit ?? "crop");
  if (!known || !fits || record.version > NEWEST_VERSION || !(record.input_size >= 1) || !(record.crop_fraction > 0)) {
    throw new Error(`This page cannot follow the preprocessing ${JSON.stringify(record)}.`);
  }
  return record;
}

/**
 * The pixels of an image file, upright: {width, height, data: RGBA}; `show` may draw it before it is let go.
 *
 * Raises Error where the browser cannot read it.
 */
export async function readImage(blob, show = () => {}) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error("This browser cannot read that file as an image.");
  }
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  try {
    if (width * height > MAX_PIXELS) throw new Error(`${width} x ${height} pixels are more than 64 megapixels.`);
    show(bitmap);
    return pixelsIn(drawn(canvas, bitmap, width, height));
  } finally {
    bitmap.close();
    canvas.width = canvas.height = 0; // gives the memory back at once
  }
}

/** A canvas of this size with anything on it that can be drawn. */
export function drawn(canvas, source, width, height) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(source, 0, 0, width, height);
  return canvas;
}

/** {width, height, data: RGBA} of a canvas. */
export function pixelsIn(canvas) {
  const { width, height } = canvas;
  return { width, height, data: canvas.getContext("2d").getImageData(0, 0, width, height).data };
}

/** RGB in [0, 255], Float32Array of side x side x 3, from {width, height, data: RGBA}. */
export function preprocess(image, record) {
  const side = record.input_size;
  const whole = { x: 0, y: 0, width: image.width, height: image.height };
  if (record.fit === "squash") {
    const antialias = Math.max(image.width, image.height) > (record.interpolation === "bicubic" ? 3 : 2) * side;
    return resized(image, whole, [side, side], [0, 0], side, record.interpolation, antialias);
  }
  const most = MAX_ASPECT * Math.min(image.width, image.height);
  const [x, y] = [image.width, image.height].map((n) => Math.floor(Math.max(0, n - most) / 2));
  const part = { x, y, width: Math.min(most, image.width - x), height: Math.min(most, image.height - y) };
  const short = Math.min(part.width, part.height);
  const target = roundEven(side / record.crop_fraction);
  const size = [part.width, part.height].map((n) => Math.floor((target * n) / short));
  const corner = size.map((n) => roundEven((n - side) / 2));
  return resized(image, part, size, corner, side, record.interpolation);
}

const f = Math.fround; // TensorFlow computes in float32, in this order: an int8 network sees each pixel that is rounded otherwise

/** The window `corner` + side of `part` of an image resized to `size` (width, height). Only what it needs is computed. */
function resized(image, part, size, corner, side, interpolation, antialias = true) {
  const across = axisWeights(interpolation, part.width, size[0], corner[0], side, antialias);
  const down = axisWeights(interpolation, part.height, size[1], corner[1], side, antialias);
  const left = Math.min(...across.starts);
  const width = Math.max(...across.starts.map((start, i) => start + across.weights[i].length)) - left;
  const pixels = new Float32Array(side * side * 3);
  const row = new Float32Array(width * 3); // resized down, not across yet
  for (let j = 0, out = 0; j < side; j++) {
    addRows(row, image, part.x + left, part.y + down.starts[j], down.weights[j]);
    for (let i = 0; i < side; i++) {
      const weights = across.weights[i];
      let [r, g, b] = [0, 0, 0];
      for (let k = 0, at = 3 * (across.starts[i] - left); k < weights.length; k++) {
        r = f(r + f(weights[k] * row[at++]));
        g = f(g + f(weights[k] * row[at++]));
        b = f(b + f(weights[k] * row[at++]));
      }
      for (const value of [r, g, b]) pixels[out++] = Math.min(255, Math.max(0, value)); // bicubic overshoots at edges
    }
  }
  return pixels;
}

/** The weighted sum of the image's rows from y on, as many pixels from x on as `row` has. */
function addRows(row, image, x, y, weights) {
  row.fill(0);
  for (const weight of weights) {
    for (let i = 0, at = 4 * (y * image.width + x); i < row.length; at++) { // passes over alpha
      for (let c = 0; c < 3; c++, i++, at++) row[i] = f(row[i] + f(weight * image.data[at]));
    }
    y++;
  }
}

/** For output pixels first .. first + count - 1 of an axis: the first input pixel, and the weights from there on. */
function axisWeights(interpolation, inputSize, outputSize, first, count, antialias) {
  const starts = [];
  const weights = [];
  const last = inputSize - 1;
  for (let i = first; i < first + count; i++) {
    if (interpolation === "nearest") {
      starts.push(Math.min(last, Math.floor(f((i + 0.5) * f(inputSize / outputSize)))));
      weights.push(Float32Array.of(1));
      continue;
    }
    const inverse = f(1 / f(outputSize / inputSize));
    const stretch = antialias ? Math.max(inverse, 1) : 1; // a wider kernel where the image shrinks
    const center = f((i + 0.5) * inverse);
    const reach = f(RADIUS[interpolation] * stretch);
    const begin = Math.min(last, Math.max(0, Math.ceil(f(f(center - reach) - 0.5))));
    const end = Math.min(last, Math.max(0, Math.floor(f(f(center + reach) - 0.5)))) + 1;
    const distance = (k) => f(f(begin + k + 0.5 - center) * f(1 / stretch));
    const found = Float32Array.from({ length: end - begin }, (_, k) => kernel(interpolation, distance(k)));
    const normal = f(1 / found.reduce((a, b) => f(a + b), 0));
    starts.push(begin);
    weights.push(found.map((weight) => weight * normal));
  }
  return { starts, weights };
}

/** Keys' cubic kernel with a = -1/2, or a triangle. */
function kernel(interpolation, distance) {
  const x = Math.abs(distance);
  if (x >= RADIUS[interpolation]) return 0;
  if (interpolation === "bilinear") return f(1 - x);
  if (x < 1) return f(f(f(f(f(1.5 * x) - 2.5) * x) * x) + 1);
  return f(f(f(f(f(f(-0.5 * x) + 2.5) * x) - 4) * x) + 2);
}

/** To the nearest whole number, halves to the even one. */
export function roundEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Pixels (or any values, RGB interleaved) as the input of a model holds them: normalized, and quantized. */
export function toInput(pixels, input, normalization) {
  const [mean, std] = [normalization.mean, normalization.std];
  const plain = mean.every((m) => m === 0) && std.every((s) => s === 1);
  const channel = (values, i) => values[values.length === 1 ? 0 : i % 3];
  const values = plain ? pixels : Float32Array.from(pixels, (p, i) => (p - channel(mean, i)) / channel(std, i));
  if (input.dtype === "float32") return Float32Array.from(values);
  const scale = Math.fround(input.scale || 1);
  return Uint8Array.from(values, (v) => Math.min(255, Math.max(0, roundEven(Math.fround(v / scale)) + input.zero_point)));
}
