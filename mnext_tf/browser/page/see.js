// See: an image or the camera, through one network.

import { byId, element } from "./main.js";
import { pixelsOf, preprocess, readImage } from "./preprocess.js";
import { likeliest } from "./runner.js";
import { milliseconds } from "./stats.js";

const COLORS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2"]; // Okabe and Ito's
const TOP = 5;
const LARGEST_SHOWN = 1280; // pixels of a side of the picture on the page

export function setUpSee({ models, runner, processors, about }) {
  let image = null; // {width, height, data} of the chosen image
  let camera = null; // the stream
  let turn = 0; // of what was asked last: an older answer is dropped
  const choose = {
    model: () => models[byId("model").selectedIndex],
    processor: () => processors[byId("processor").selectedIndex],
    score: () => Number(byId("score").value),
  };
  models.forEach((model) => byId("model").append(new Option(model.title)));
  processors.forEach((processor) => byId("processor").append(new Option(processor.title)));

  /** What the chosen network says of pixels: {probabilities or detections, times}. */
  async function answer(pixels) {
    const [model, processor] = [choose.model(), choose.processor()];
    const { preprocess: record, labels } = await model.details();
    const started = performance.now();
    const input = model.input(preprocess(pixels, record));
    const preparing = performance.now() - started;
    if (!runner.isReady(model, processor)) await runner.run(model, processor, input); // so that the time is no first one
    const { outputs, ms } = await runner.run(model, processor, input);
    const ready = await runner.prepare(model, processor);
    return { ...(await model.decode(outputs)), labels, ms, preparing, ranOn: ready.ranOn };
  }

  async function showImage() {
    if (!image) return;
    const mine = ++turn;
    remark("Running …");
    try {
      const found = await answer(image);
      if (mine !== turn) return;
      draw(image.canvas, image.width, image.height, found, choose.score());
      list(found, choose.score());
      remark(`${milliseconds(found.ms)} ms in the network, ${milliseconds(found.preparing)} ms to prepare the image${where(found, choose.processor())}.`);
    } catch (error) {
      if (mine === turn) fail(error);
    }
  }

  async function take(blob) {
    stopCamera();
    try {
      const read = await readImage(blob);
      const canvas = new OffscreenCanvas(read.width, read.height);
      canvas.getContext("2d").putImageData(new ImageData(read.data, read.width, read.height), 0, 0);
      image = { ...read, canvas };
      draw(canvas, read.width, read.height, {}, 1);
      await showImage();
    } catch (error) {
      fail(error);
    }
  }

  async function startCamera() {
    try {
      camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 640 } }, audio: false });
    } catch (error) {
      return fail(new Error(`The camera cannot be used: ${error.message}. See “This device” below.`));
    }
    image = null;
    const video = byId("video");
    video.srcObject = camera;
    await video.play();
    byId("camera").textContent = "Stop";
    byId("answer").setAttribute("aria-live", "off"); // a screen reader would never come to an end
    watch(++turn, video);
  }

  async function watch(mine, video) {
    let smooth = 0;
    let last = performance.now();
    while (mine === turn && camera) {
      const [width, height] = [video.videoWidth, video.videoHeight];
      if (width) {
        try {
          const found = await answer(pixelsOf(video, width, height));
          if (mine !== turn || !camera) return;
          draw(video, width, height, found, choose.score());
          list(found, choose.score());
          const now = performance.now();
          smooth = smooth ? 0.9 * smooth + 0.1 * (now - last) : now - last;
          last = now;
          byId("speed").hidden = false;
          byId("speed").textContent = `${(1000 / smooth).toFixed(1)} frames/s, network ${milliseconds(found.ms)} ms`;
          remark(where(found, choose.processor()).replace(/^; /, ""));
        } catch (error) {
          stopCamera();
          return fail(error);
        }
      }
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }

  function stopCamera() {
    turn++;
    camera?.getTracks().forEach((track) => track.stop());
    camera = null;
    byId("speed").hidden = true;
    byId("camera").textContent = "Camera";
    byId("answer").setAttribute("aria-live", "polite");
  }

  byId("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) take(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  byId("sample").addEventListener("click", async () => {
    const response = await fetch(about.sample);
    take(await response.blob());
  });
  byId("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
  for (const id of ["model", "processor"]) byId(id).addEventListener("change", showImage);
  byId("model").addEventListener("change", () => (byId("score-label").hidden = choose.model().task !== "detection"));
  byId("model").dispatchEvent(new Event("change"));
  byId("score").addEventListener("input", () => {
    byId("score-value").textContent = choose.score().toFixed(2);
    showImage();
  });
  byId("stage").addEventListener("dragover", (event) => event.preventDefault());
  byId("stage").addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("tab", ({ detail }) => detail !== "tab-see" && stopCamera());
  document.addEventListener("visibilitychange", () => document.hidden && stopCamera());
}

/** Where it ran, if that is not where it was asked to. */
function where(found, processor) {
  if (found.ranOn === processor.backend) return "";
  return found.ranOn === "wasm" ? "; the GPU did not take this network, so the CPU computed it" : "; the GPU computed a part of it, the CPU the rest";
}

function draw(source, width, height, found, least) {
  const canvas = byId("canvas");
  const scale = Math.min(1, LARGEST_SHOWN / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const shown = (found.detections ?? []).filter(({ score }) => score >= least);
  const size = Math.max(12, Math.round(Math.max(canvas.width, canvas.height) / 40));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const { label, score, box } of shown.toReversed()) {
    const [left, top, right, bottom] = box.map((value, i) => value * (i % 2 ? canvas.height : canvas.width));
    const color = COLORS[label % COLORS.length];
    const text = `${found.labels?.[label] ?? label} ${score.toFixed(2)}`;
    context.lineWidth = Math.max(2, size / 6);
    context.strokeStyle = context.fillStyle = color;
    context.strokeRect(left, top, right - left, bottom - top);
    const y = Math.max(0, top - 1.3 * size);
    context.fillRect(left, y, context.measureText(text).width + 0.6 * size, 1.3 * size);
    context.fillStyle = "#000";
    context.fillText(text, left + 0.3 * size, y + 0.15 * size);
  }
  canvas.hidden = false;
  byId("empty").hidden = true;
  const what = found.detections ? `${shown.length} objects found; they are listed beside it` : "The chosen picture";
  canvas.setAttribute("aria-label", what);
}

function list(found, least) {
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
  if (!items.length) byId("results").append(element("li", "Nothing found above the least score."));
}

function remark(text) {
  byId("remark").textContent = text;
  byId("remark").classList.remove("bad");
}

function fail(error) {
  byId("results").replaceChildren();
  byId("remark").textContent = error.message;
  byId("remark").classList.add("bad");
}
