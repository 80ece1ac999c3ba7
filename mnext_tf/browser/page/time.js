// Time: networks against each other, in interleaved rounds; the result is sent to the computer or downloaded.

import { addRow, addTable, byId, counted, element, stayOnTab } from "./main.js";
import { keepAwake } from "./device.js";
import { fetched } from "./runner.js";
import { median, milliseconds, ratio, summary } from "./stats.js";

const FORMAT = 1;
const INFERENCES = 10; // a round and network
const WARM_UP = 10;
const SLOW_MS = 60; // a network slower than this runs fewer times a round

export function setUpTime({ about, models, runner, processors, facts }) {
  let session = null;
  let stopped = false;
  const boxes = (id, titles, checked) => titles.map((title, i) => {
    const label = element("label");
    const box = element("input");
    Object.assign(box, { type: "checkbox", checked: checked(i) });
    label.append(box, title);
    byId(id).append(label);
    return box;
  });
  const modelBoxes = boxes("time-models", models.map(({ title }) => title), () => true);
  const last = processors.findLastIndex(({ backend }) => backend === "wasm");
  const processorBoxes = boxes("time-processors", processors.map(({ title }) => title), (i) => i === 0 || i >= last);
  byId("send").hidden = !about.server;

  byId("time").addEventListener("click", async () => {
    const cases = processors.flatMap((processor, p) => models.filter((_, m) => modelBoxes[m].checked && processorBoxes[p].checked).map((model) => ({ model, processor })));
    if (!cases.length) return status("Choose a network and a processor.");
    stopped = false;
    session = null;
    byId("times").replaceChildren();
    busy(true);
    const started = new Date().toISOString();
    try {
      await runner.alone(() => measure(runner, cases, Number(byId("rounds").value), () => stopped));
      const count = Math.max(0, ...cases.map(({ times }) => times?.length ?? 0));
      if (count) {
        session = await describeSession({ about, facts, cases, started });
        show(cases);
      }
      if (!count && !stopped) throw new Error(cases[0].error);
      const next = count && about.server ? "; send the result to the computer to have it in the report" : "";
      status(`${stopped ? "Stopped" : "Done"}, ${counted(count, "round")} measured${next}.`);
    } catch (error) {
      status(`That did not work: ${error.message}`);
    }
    await Promise.all(cases.map(({ model, processor }) => runner.release(model, processor)));
    busy(false);
  });
  byId("stop").addEventListener("click", () => (stopped = true));
  byId("download").addEventListener("click", () => {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(session)], { type: "application/json" }));
    link.download = "browser.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  byId("send").addEventListener("click", async () => {
    const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
    try {
      const response = await fetch("sessions", { method: "POST", headers: { "Content-Type": "application/json", "X-Token": token }, body: JSON.stringify(session) });
      const { folder, error } = await response.json();
      status(response.ok ? `The computer keeps it in ${folder}.` : `The computer refused it: ${error}`);
      byId("send").disabled = response.ok;
    } catch {
      status("The computer does not answer. Download the result, or start the server again.");
    }
  });

  function busy(running) {
    stayOnTab(running);
    keepAwake(running);
    byId("time").disabled = running;
    byId("stop").disabled = !running;
    for (const id of ["send", "download"]) byId(id).disabled = running || !session;
    byId("progress").hidden = !running;
  }
}

const status = (text) => (byId("time-status").textContent = text);

/** Fills cases with `ready`, `first`, and `times`, or `error`. Cases take turns; each round begins with another one. */
async function measure(runner, cases, count, isStopped) {
  for (const one of cases) {
    if (isStopped()) return;
    status(`Loading ${one.model.title}, ${one.processor.title} …`);
    try {
      const pixels = Float32Array.from(new Uint8Array(await fetched(one.model.about.golden.input)));
      one.input = one.model.input(pixels);
      await runner.release(one.model, one.processor); // the first run is one only where nothing ran before
      one.ready = await runner.prepare(one.model, one.processor);
      [one.first] = await runner.time(one.model, one.processor, one.input, 1);
      const warm = await runner.time(one.model, one.processor, one.input, one.first > SLOW_MS ? 3 : WARM_UP);
      one.inferences = Math.max(2, Math.min(INFERENCES, Math.ceil((INFERENCES * SLOW_MS) / median(warm))));
      one.times = [];
    } catch (error) {
      one.error = error.message;
    }
  }
  for (let round = 0; round < count && !isStopped(); ) {
    const sound = cases.filter(({ error }) => !error);
    if (!sound.length) return;
    status(`Round ${round + 1} of ${count}`);
    byId("progress").value = round / count;
    const order = sound.map((_, i) => sound[(i + round) % sound.length]);
    if (await measureRound(runner, order, isStopped)) round++;
  }
}

/** Whether all cases were measured. If one failed, or the page was hidden, the times of the others are not kept either. */
async function measureRound(runner, cases, isStopped) {
  await untilVisible();
  keepAwake(true); // again, if the page was hidden
  const before = timesHidden;
  const times = [];
  for (const one of cases) {
    if (isStopped()) return false;
    try {
      times.push(await runner.time(one.model, one.processor, one.input, one.inferences));
    } catch (error) {
      one.error = error.message;
      return false;
    }
    if (timesHidden !== before) return false;
  }
  cases.forEach((one, i) => one.times.push(times[i]));
  return true;
}

let timesHidden = 0;
document.addEventListener("visibilitychange", () => (timesHidden += document.hidden));

async function untilVisible() {
  while (document.hidden) {
    status("Paused while the page is hidden.");
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}

async function describeSession({ about, facts, cases, started }) {
  const used = [...new Set(cases.map(({ model }) => model))];
  return {
    format: FORMAT,
    started,
    runtime: `${about.runtime.name} ${about.runtime.version}`,
    facts,
    gpu: cases.find(({ ready }) => ready?.adapter)?.ready.adapter ?? null,
    models: await Promise.all(used.map(async (model) => {
      const { run, network, precision, input_size } = model.about;
      const bytes = await model.bytes();
      return { name: model.name, bytes: bytes.length, sha256: await digest(bytes), run, network, precision, input_size };
    })),
    runs: cases.map(({ model, processor, ready, first, times, error }) => ({
      model: model.name,
      backend: processor.backend,
      threads: ready?.threads ?? processor.threads,
      ran_on: times?.length ? ready.ranOn : "",
      compile_ms: ready?.ms ?? null,
      first_ms: first ?? null,
      rounds: (times ?? []).map((round) => round.map((ms) => Math.round(ms * 1e4) / 1e4)),
      error: (error ?? "").slice(0, 400),
    })),
  };
}

/** "" where the page is not in a secure context, in which browsers have no hashes. */
async function digest(bytes) {
  if (!self.crypto?.subtle) return "";
  return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
}

function show(cases) {
  for (const processor of new Set(cases.map((one) => one.processor))) {
    const mine = cases.filter((one) => one.processor === processor);
    const reference = mine.find(({ times }) => times?.length);
    const rows = mine.map((one) => ({ one, title: one.model.title, ...figures(one, reference) }));
    byId("times").append(element("h3", processor.title));
    if (reference) byId("times").append(chart(rows.filter(({ middle }) => middle !== undefined)));
    const heads = ["network", "median, ms (quartiles)", "ratio (quartiles)", "first run, ms"];
    const table = addTable(byId("times"), processor.title, heads, true);
    for (const { one, title, middle, p25, p75, ratio: words } of rows) {
      if (middle === undefined) {
        addRow(table, [title, [one.error ?? "stopped", "bad"], "", ""]);
        continue;
      }
      const { ranOn } = one.ready;
      const elsewhere = ranOn === processor.backend ? "" : ranOn === "wasm" ? ": ran on the CPU" : ": partly on the CPU";
      const failure = one.error ? `; failed after ${counted(one.times.length, "round")}: ${one.error}` : "";
      const numbers = [`${milliseconds(middle)} (${milliseconds(p25)} to ${milliseconds(p75)})`, words, milliseconds(one.first)];
      addRow(table, [[title + elsewhere + failure, failure ? "bad" : elsewhere && "doubtful"], ...numbers.map((text) => [text, "number"])]);
    }
  }
}

/** {middle, p25, p75, ratio, note} of a case; {} where nothing was measured. */
function figures(one, reference) {
  if (!one.times?.length) return {};
  const { median: middle, p25, p75 } = summary(one.times.map(median));
  if (one === reference) return { middle, p25, p75, ratio: "1", note: "" };
  const compared = ratio(one.times, reference.times);
  const words = `${compared.median.toFixed(2)} (${compared.p25.toFixed(2)} to ${compared.p75.toFixed(2)})`;
  return { middle, p25, p75, ratio: words, note: `×${compared.median.toFixed(2)}` };
}

/** Bars of medians with their quartiles, as SVG. */
function chart(rows) {
  const svg = (tag, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };
  const [width, step] = [byId("times").clientWidth, 46]; // so that the text has its size on every screen; the tab is open
  const most = Math.max(...rows.map(({ p75 }) => p75));
  const x = (ms) => (ms / most) * (width - 130);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${rows.length * step}`, role: "img", "aria-label": "Medians and quartiles; the table below has the numbers" });
  rows.forEach(({ title, middle, p25, p75, note }, i) => {
    const y = i * step;
    picture.append(
      svg("text", { x: 0, y: y + 14 }, title),
      svg("rect", { class: "box", x: 0, y: y + 20, width: x(middle), height: 18, rx: 4 }),
      svg("rect", { class: "mark", x: x(p25), y: y + 27, width: Math.max(2, x(p75) - x(p25)), height: 4 }),
      svg("text", { class: "label", x: x(p75) + 8, y: y + 34 }, `${milliseconds(middle)} ms ${note}`),
    );
  });
  return picture;
}
