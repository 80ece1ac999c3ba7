// Check: each network's golden input on each processor, compared with Python's output; and the pixels of its image.

import { addRow, addTable, byId, element, stayOnTab } from "./main.js";
import { preprocess, readImage, roundEven } from "./preprocess.js";
import { detections } from "./boxes.js";
import { fetched } from "./runner.js";

const PIXEL_TOLERANCE = 1; // of 255, after rounding; the golden pixels are whole numbers

export function setUpCheck({ about, models, runner, processors }) {
  const cpu = processors.filter(({ backend }) => backend === "wasm");
  const checked = [cpu[0], ...(cpu.length > 1 ? [cpu.at(-1)] : []), ...processors.filter(({ backend }) => backend === "webgpu")];

  byId("check").addEventListener("click", async () => {
    byId("check").disabled = true;
    stayOnTab(true);
    try {
      byId("check-status").textContent = summary(await runner.alone(checkAll));
    } catch (error) {
      byId("check-status").textContent = `That did not work: ${error.message}`;
    } finally {
      byId("check").disabled = false;
      stayOnTab(false);
    }
  });

  /** The verdicts; a row stands for each. */
  async function checkAll() {
    byId("checks").replaceChildren();
    const verdicts = [];
    for (const model of models) {
      byId("checks").append(element("h3", model.title));
      const table = addTable(byId("checks"), model.title, ["what", "result", "largest difference"]);
      for (const [title, check] of [
        ["pixels", () => checkPixels(model, about.sample)],
        ...checked.map((processor) => [processor.title, () => checkOutput(runner, model, processor)]),
      ]) {
        byId("check-status").textContent = `${model.title}: ${title} …`;
        const { passed, difference, remark } = await check().catch((error) => ({ passed: false, difference: null, remark: error.message }));
        verdicts.push(passed);
        const verdict = passed === null ? ["not on the GPU", "doubtful"] : passed ? ["pass", "good"] : ["fail", "bad"];
        addRow(table, [title, verdict, [difference, remark].filter(Boolean).join("; ")]);
      }
    }
    return verdicts;
  }
}

/** Of verdicts, true, false, or null for a GPU that did not compute. */
export function summary(verdicts) {
  const [passed, failed, elsewhere] = [true, false, null].map((one) => verdicts.filter((verdict) => verdict === one).length);
  if (!failed && !elsewhere) return "All passed.";
  return [`${passed} passed`, failed && `${failed} failed`, elsewhere && `${elsewhere} not on the GPU`].filter(Boolean).join(", ") + ".";
}

async function checkPixels(model, sample) {
  const wanted = new Uint8Array(await fetched(model.about.golden.input));
  const image = await readImage(new Blob([await fetched(sample)]));
  const pixels = preprocess(image, (await model.record()).preprocess).map(roundEven);
  const difference = largest(pixels, wanted);
  return { passed: pixels.length === wanted.length && difference <= PIXEL_TOLERANCE, difference: `${difference} of 255`, remark: "" };
}

async function checkOutput(runner, model, processor) {
  const { input, output, lengths, tolerance, gpu_tolerance } = model.about.golden;
  const pixels = Float32Array.from(new Uint8Array(await fetched(input)));
  const wanted = new Float32Array(await fetched(output));
  const { ranOn } = await runner.prepare(model, processor);
  const { outputs } = await runner.run(model, processor, model.input(pixels)).finally(() => runner.release(model, processor));
  const given = model.floats(outputs);
  const parts = {};
  let start = 0;
  for (const [i, name] of Object.keys(given).entries()) {
    parts[name] = wanted.subarray(start, (start += lengths[i]));
    if (given[name].length !== lengths[i]) throw new Error(`${name} has ${given[name].length} values in place of ${lengths[i]}.`);
  }
  const { detector } = await model.record();
  const worst = detector?.form === "four"
    ? furthest(detections(parts, detector), detections(given, detector))
    : Math.max(...Object.keys(parts).map((name) => largest(given[name], parts[name]) / range(parts[name])));
  const onGpu = processor.backend === "webgpu";
  const passed = worst <= (onGpu ? gpu_tolerance : tolerance);
  const elsewhere = onGpu && ranOn === "wasm";
  return {
    passed: passed && elsewhere ? null : passed,
    difference: `${percent(100 * worst)} % of the range`,
    remark: elsewhere ? "the CPU computed it" : ranOn === "webgpu_partial" ? "the GPU computed a part" : "",
  };
}

const percent = (value) => (value && value < 0.001 ? "< 0.001" : value.toPrecision(2));

/**
 * How far the better half of the wanted boxes are from the nearest found one of their class, in score or in a side.
 *
 * Boxes come sorted and cut off at a number: the smallest difference may swap two of them, or drop the last.
 */
function furthest(wanted, found) {
  const distance = (a, b) => (a.label === b.label ? Math.max(Math.abs(a.score - b.score), largest(a.box, b.box)) : 1);
  const better = wanted.slice(0, Math.ceil(wanted.length / 2));
  return Math.max(0, ...better.map((one) => Math.min(1, ...found.map((other) => distance(one, other)))));
}

function largest(a, b) {
  return a.reduce((most, value, i) => (Number.isNaN(value) ? Infinity : Math.max(most, Math.abs(value - b[i]))), 0);
}

function range(values) {
  const [low, high] = values.reduce(([least, most], v) => [Math.min(least, v), Math.max(most, v)], [0, 0]);
  return Math.max(high - low, 1e-6);
}
