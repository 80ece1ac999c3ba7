// From a detector's outputs to boxes, as mnext_tf/tasks/boxes.py and mnext_tf/inference/tflite_detector.py do it.

const CANDIDATES = 400; // of a class, before suppression
const LARGEST_EXPONENT = 20;

/**
 * [{label, score, box: [x_min, y_min, x_max, y_max]}], best first, relative to the image.
 *
 * outputs: name -> Float32Array. how: detector.json. priors: Float32Array of center forms; files that give boxes need none.
 */
export function detections(outputs, how, priors) {
  if (how.form === "four") return ready(outputs);
  const two = how.form === "two";
  const regression = two ? outputs.location : outputs.box_regression;
  if (regression.length !== priors.length) {
    throw new Error(`The network gives ${regression.length / 4} boxes; its record names ${priors.length / 4} priors.`);
  }
  const boxes = decode(regression, priors, how, two ? [1, 0, 3, 2] : [0, 1, 2, 3]);
  const candidates = two
    ? chosen(outputs.score, priors.length / 4, how.score_threshold)
    : scored(outputs.class_logits, priors.length / 4, how);
  return suppress(candidates, boxes, how).map(({ prior, label, score }) => ({
    label,
    score,
    box: Array.from(boxes.subarray(4 * prior, 4 * prior + 4), (v) => Math.min(1, Math.max(0, v))),
  }));
}

function ready(outputs) {
  const count = Math.round(outputs["number of detections"][0]);
  return Array.from({ length: count }, (_, i) => {
    const [top, left, bottom, right] = outputs.location.subarray(4 * i, 4 * i + 4);
    return { label: outputs.category[i], score: outputs.score[i], box: [left, top, right, bottom] };
  });
}

function decode(regression, priors, how, order) {
  const boxes = new Float32Array(priors.length);
  for (let at = 0; at < priors.length; at += 4) {
    const [dx, dy, dw, dh] = order.map((column) => regression[at + column]);
    const [cx, cy, w, h] = priors.subarray(at, at + 4);
    const x = dx * how.center_variance * w + cx;
    const y = dy * how.center_variance * h + cy;
    const halfWidth = (Math.exp(Math.min(dw * how.size_variance, LARGEST_EXPONENT)) * w) / 2;
    const halfHeight = (Math.exp(Math.min(dh * how.size_variance, LARGEST_EXPONENT)) * h) / 2;
    boxes.set([x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight], at);
  }
  return boxes;
}

/** Scores (priors, classes) of at least `threshold`. */
function chosen(scores, count, threshold) {
  const classes = scores.length / count;
  const found = [];
  scores.forEach((score, i) => {
    if (score >= threshold) found.push({ prior: Math.floor(i / classes), label: i % classes, score });
  });
  return found;
}

/** From logits (priors, classes + 1), background first. */
function scored(logits, count, how) {
  const columns = logits.length / count;
  const scores = new Float32Array(count * (columns - 1));
  for (let prior = 0; prior < count; prior++) {
    const row = logits.subarray(prior * columns, (prior + 1) * columns);
    const most = Math.max(...row);
    const sum = how.scoring === "softmax" ? row.reduce((total, v) => total + Math.exp(v - most), 0) : 0;
    for (let k = 1; k < columns; k++) {
      const score = how.scoring === "softmax" ? Math.exp(row[k] - most) / sum : 1 / (1 + Math.exp(-row[k]));
      scores[prior * (columns - 1) + k - 1] = score;
    }
  }
  return chosen(scores, count, how.score_threshold);
}

/** Greedy, within each class; of equal scores the smaller label comes first, then the smaller prior. */
function suppress(candidates, boxes, how) {
  const byClass = new Map();
  for (const candidate of candidates) {
    if (!byClass.has(candidate.label)) byClass.set(candidate.label, []);
    byClass.get(candidate.label).push(candidate);
  }
  const kept = [];
  for (const label of [...byClass.keys()].sort((a, b) => a - b)) {
    const left = byClass.get(label).sort((a, b) => b.score - a.score).slice(0, CANDIDATES);
    const mine = [];
    for (const candidate of left) {
      if (mine.length >= how.max_detections) break;
      if (mine.every((better) => overlap(boxes, better.prior, candidate.prior) <= how.iou_threshold)) mine.push(candidate);
    }
    kept.push(...mine);
  }
  return kept.sort((a, b) => b.score - a.score).slice(0, how.max_detections); // stable, as both sorts above
}

function overlap(boxes, a, b) {
  [a, b] = [4 * a, 4 * b];
  const width = Math.min(boxes[a + 2], boxes[b + 2]) - Math.max(boxes[a], boxes[b]);
  const height = Math.min(boxes[a + 3], boxes[b + 3]) - Math.max(boxes[a + 1], boxes[b + 1]);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  const union = area(boxes, a) + area(boxes, b) - shared;
  return union > 0 ? shared / union : 0;
}

function area(boxes, at) {
  return Math.max(boxes[at + 2] - boxes[at], 0) * Math.max(boxes[at + 3] - boxes[at + 1], 0);
}
