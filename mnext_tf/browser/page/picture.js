// What See shows: the picture with boxes, the list beside it, and a remark.

import { byId, counted, element } from "./main.js";
import { drawn } from "./preprocess.js";
import { likeliest } from "./runner.js";

const COLORS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2"]; // Okabe and Ito's
const TOP = 5;
const LARGEST_SHOWN = 1280; // pixels of a side of the picture on the page
const SMALLEST_TEXT = 11; // CSS pixels, of names on boxes

/** A copy of anything that can be drawn, no larger than it is shown. */
export function shrunk(source, width, height) {
  const scale = Math.min(1, LARGEST_SHOWN / Math.max(width, height));
  return drawn(document.createElement("canvas"), source, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
}

/** Draws an image, {canvas, name: for who does not see it}, and the boxes of at least a score. */
export function draw({ canvas: picture, name }, found = {}, least = 0) {
  const canvas = drawn(byId("canvas"), picture, picture.width, picture.height);
  canvas.hidden = false;
  byId("empty").hidden = true;
  const context = canvas.getContext("2d");
  const shown = (found.detections ?? []).filter(({ score }) => score >= least);
  const size = Math.max(canvas.width, canvas.height) / 40;
  drawBoxes(context, shown.toReversed(), found.labels, Math.max(size, (SMALLEST_TEXT * canvas.width) / (canvas.clientWidth || canvas.width)));
  canvas.setAttribute("aria-label", found.detections ? `${name}: ${counted(shown.length, "object")}, listed beside it` : name);
}

/** The last ones on top; no line goes through a name. size: of the text, in pixels of the canvas. */
function drawBoxes(context, boxes, labels, size) {
  const { width, height } = context.canvas;
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.lineWidth = size / 6;
  const placed = boxes.map(({ label, score, box }) => {
    const [left, top, right, bottom] = box.map((value, i) => value * (i % 2 ? height : width));
    context.strokeStyle = COLORS[label % COLORS.length];
    context.strokeRect(left, top, right - left, bottom - top);
    return { left, top, color: context.strokeStyle, text: `${labels?.[label] ?? label} ${score.toFixed(2)}` };
  });
  for (const { left, top, color, text } of placed) {
    const wide = context.measureText(text).width + 0.6 * size;
    const [x, y] = [Math.max(0, Math.min(left, width - wide)), Math.max(0, top - 1.3 * size)];
    context.fillStyle = color;
    context.fillRect(x, y, wide, 1.3 * size);
    context.fillStyle = "#000";
    context.fillText(text, x + 0.3 * size, y + 0.15 * size);
  }
}

export function list(found, least) {
  const items = found.probabilities
    ? likeliest(found.probabilities, found.labels, TOP).map(({ index, label, probability }) => [label, probability, { index }])
    : found.detections.filter(({ score }) => score >= least).map(({ label, score, box }) => [found.labels?.[label] ?? String(label), score, { index: label, box: JSON.stringify(box) }]);
  byId("results").replaceChildren(...items.map(([name, value, data]) => {
    const item = element("li");
    const bar = element("i", "", "bar"); // no span, so that it is no text
    bar.style.width = `${100 * value}%`;
    item.append(bar, element("span", name), element("span", found.probabilities ? `${(100 * value).toFixed(1)} %` : value.toFixed(2), "number"));
    Object.assign(item.dataset, data, { value });
    return item;
  }));
  if (!items.length) byId("results").append(element("li", "Nothing reaches the minimum score."));
}

export function remark(text) {
  byId("remark").textContent = text;
  byId("remark").classList.remove("bad");
}

export function fail(error) {
  byId("results").replaceChildren();
  byId("remark").textContent = error.message;
  byId("remark").classList.add("bad");
}
