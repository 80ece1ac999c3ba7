// See: an image or the camera, through one network.

import { byId } from "./main.js";
import { closeCamera, hasSeveralCameras, nextFrame, openCamera } from "./camera.js";
import { keepAwake } from "./device.js";
import { draw, fail, list, remark, shrunk } from "./picture.js";
import { drawn, pixelsIn, preprocess, readImage } from "./preprocess.js";
import { fetched } from "./runner.js";
import { milliseconds } from "./stats.js";

export function setUpSee({ models, runner, processors, about, noCamera }) {
  let image = null; // {name, canvas: as it is shown, read: gives its pixels}: what was chosen, or the camera's last frame
  let found = null; // what the network said of it
  let camera = null; // {stream}: null until the user has allowed it
  let facing = "environment";
  let used = null; // {model, processor} of the last answer
  let turn = 0; // of what was asked last: whatever is older comes to nothing
  const frames = [document.createElement("canvas"), document.createElement("canvas")]; // one shown, one analyzed
  const chosen = () => ({ model: models[byId("model").selectedIndex], processor: processors[byId("processor").selectedIndex] });
  const least = () => Number(byId("score").value);
  models.forEach((model) => byId("model").append(new Option(model.title)));
  processors.forEach((processor) => byId("processor").append(new Option(processor.title)));
  byId("processor").selectedIndex = processors.findLastIndex(({ backend }) => backend === "wasm"); // most threads

  /** {probabilities or detections, labels, ms, ranOn} of an image; null where something newer was asked for meanwhile. */
  const answer = (mine, image) => runner.alone(async () => {
    if (mine !== turn) return null;
    const { model, processor } = chosen();
    if (used?.model !== model || used.processor !== processor) {
      if (used) await runner.release(used.model, used.processor);
      used = { model, processor };
    }
    const input = model.input((await prepared(image, model)).pixels);
    if (!runner.isReady(model, processor)) await runner.run(model, processor, input); // so that the time is no first one
    const { outputs, ms } = await runner.run(model, processor, input);
    const { ranOn } = await runner.prepare(model, processor);
    return mine === turn ? { ...(await model.decode(outputs)), labels: (await model.record()).labels, ms, ranOn } : null;
  });

  function show() {
    draw(image, found, least());
    list(found, least());
  }

  async function showImage() {
    if (!image || camera) return; // the next frame is for the new choice
    const mine = ++turn;
    remark("Running …");
    try {
      const given = await answer(mine, image);
      if (mine !== turn) return;
      found = given;
      show();
      remark(`${milliseconds(found.ms)} ms in the network, ${milliseconds(image.preparing)} ms to prepare the image${where(found, used.processor)}.`);
    } catch (error) {
      if (mine !== turn) return;
      found = null;
      fail(error);
    }
  }

  /** blob: a file, or a promise of one. */
  async function take(blob) {
    stopCamera();
    const mine = ++turn;
    const before = image;
    image = found = null; // a choice that is made meanwhile is for the new one
    remark("Reading the image …");
    try {
      const taken = photograph(await blob);
      await prepared(taken, chosen().model);
      if (mine !== turn) return;
      image = taken;
      draw(image);
      await showImage();
    } catch (error) {
      if (mine !== turn) return;
      image = before;
      fail(error);
    }
  }

  async function startCamera() {
    if (noCamera) return fail(new Error(noCamera));
    const mine = ++turn;
    const video = byId("video");
    let stream = null;
    camera = { stream: null };
    byId("camera").textContent = "Starting …";
    try {
      stream = await openCamera(facing);
      if (mine === turn) {
        video.srcObject = stream;
        await video.play();
      }
    } catch (error) {
      closeCamera(stream);
      if (mine !== turn) return;
      stopCamera();
      return fail(error);
    }
    if (mine !== turn) return closeCamera(stream);
    camera = { stream };
    found = null;
    stream.getVideoTracks()[0].onended = () => mine === turn && endCamera(new Error("The camera was switched off."));
    byId("camera").textContent = "Stop";
    byId("answer").setAttribute("aria-live", "off"); // a screen reader would never come to an end
    byId("turn").hidden = !(await hasSeveralCameras().catch(() => false)) || mine !== turn;
    keepAwake(true);
    watch(mine, video).catch((error) => mine === turn && endCamera(error));
  }

  async function watch(mine, video) {
    let pace = {}; // {of: what ran, last: time, smooth: ms a frame}; waiting for a network is no part of it
    for (; mine === turn; await nextFrame(video)) {
      if (!video.videoWidth) continue;
      const canvas = drawn(frames.find((one) => one !== image?.canvas), video, video.videoWidth, video.videoHeight);
      const frame = { name: "The camera's picture", canvas, read: () => pixelsIn(canvas) };
      const given = await answer(mine, frame);
      if (mine !== turn) return;
      [image, found] = [frame, given];
      show();
      const now = performance.now();
      const took = pace.of === used ? now - pace.last : 0;
      pace = { of: used, last: now, smooth: pace.smooth && took ? 0.9 * pace.smooth + 0.1 * took : took };
      byId("speed").hidden = false;
      byId("speed").textContent = `${pace.smooth ? `${(1000 / pace.smooth).toFixed(1)} frames/s, ` : ""}network ${milliseconds(found.ms)} ms`;
      remark(where(found, used.processor).replace(/^; /, ""));
    }
  }

  function stopCamera() {
    if (!camera) return;
    turn++;
    closeCamera(camera.stream);
    camera = null;
    keepAwake(false);
    byId("speed").hidden = byId("turn").hidden = true;
    byId("camera").textContent = "Camera";
    byId("answer").setAttribute("aria-live", "polite");
  }

  function endCamera(error) {
    stopCamera();
    fail(error);
  }

  byId("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) take(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  byId("sample").addEventListener("click", () => take(fetched(about.sample).then((png) => new Blob([png]))));
  byId("camera").addEventListener("click", () => {
    if (!camera) startCamera();
    else if (camera.stream) stopCamera();
  });
  byId("turn").addEventListener("click", () => {
    facing = facing === "environment" ? "user" : "environment";
    stopCamera();
    startCamera();
  });
  for (const id of ["model", "processor"]) byId(id).addEventListener("change", showImage);
  byId("model").addEventListener("change", () => (byId("score-label").hidden = chosen().model.task !== "detection"));
  byId("model").dispatchEvent(new Event("change"));
  byId("score").addEventListener("input", () => {
    byId("score-value").textContent = least().toFixed(2);
    if (found) show();
  });
  byId("stage").addEventListener("dragover", (event) => event.preventDefault());
  byId("stage").addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("tab", ({ detail }) => detail !== "tab-see" && stopCamera());
  document.addEventListener("visibilitychange", () => document.hidden && stopCamera());
}

/** An image of a file. Its pixels, 200 MB of 50 megapixels, are not kept: another network's are read again. */
function photograph(blob) {
  const image = { name: "The chosen picture" };
  image.read = () => readImage(blob, (bitmap) => (image.canvas ??= shrunk(bitmap, bitmap.width, bitmap.height)));
  return image;
}

/** The image, with its `pixels` as a network takes them; they are kept for the next one that takes the same. */
async function prepared(image, model) {
  const how = (await model.record()).preprocess;
  const record = JSON.stringify(how);
  if (image.record === record) return image;
  const read = await image.read();
  const started = performance.now();
  return Object.assign(image, { record, pixels: preprocess(read, how), preparing: performance.now() - started });
}

/** Where it ran, if that is not where it was asked to. */
function where(found, processor) {
  if (found.ranOn === processor.backend) return "";
  return found.ranOn === "wasm" ? "; the GPU did not take this network, so the CPU computed it" : "; the GPU computed a part of it, the CPU the rest";
}
