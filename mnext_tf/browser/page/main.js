// Ties the page together: tabs, what the device can do, and the three panels.

import { Model, Processors, fetched } from "./runner.js";
import { abilities, describe, findGpu, threadCounts } from "./device.js";
import { setUpSee } from "./see.js";
import { setUpCheck } from "./check.js";
import { setUpTime } from "./time.js";

export const byId = (id) => document.getElementById(id);

/** An element of text, with a class. */
export function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** "1 thread", "2 threads". */
export const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** A table with a heading before it; `heads` are the columns. On a narrow screen heads are beside cells if it is `stacked`. */
export function addTable(parent, title, heads, stacked = false) {
  const table = element("table", "", stacked ? "stacked" : "");
  table.append(element("caption", title, "visually-hidden"));
  const row = table.createTHead().insertRow();
  for (const head of heads) {
    const cell = element("th", head);
    cell.scope = "col";
    row.append(cell);
  }
  table.createTBody();
  parent.append(table);
  return table;
}

/** A row; a cell is a text, or [text, class]. */
export function addRow(table, cells) {
  const row = table.tBodies[0].insertRow();
  for (const [i, cell] of cells.entries()) {
    const [text, name] = Array.isArray(cell) ? cell : [cell, ""];
    const made = row.insertCell();
    made.dataset.head = table.tHead.rows[0].cells[i].textContent;
    made.append(element("span", text, name));
  }
}

/** [{backend, threads, title}]: the processors that this page offers. */
function processors(gpu, cpuHasThreads) {
  const cpu = threadCounts(cpuHasThreads).map((threads) => ({ backend: "wasm", threads, title: `CPU, ${counted(threads, "thread")}` }));
  return gpu ? [...cpu, { backend: "webgpu", threads: 1, title: "GPU" }] : cpu;
}

const allTabs = () => [...document.querySelectorAll("[role=tab]")];

/** Stays on the open tab while it works, or no longer: what another one computes would slow it. */
export function stayOnTab(wanted) {
  for (const tab of allTabs()) tab.disabled = wanted && tab.getAttribute("aria-selected") !== "true";
}

function setUpTabs() {
  const tabs = allTabs();
  const show = (chosen) => {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !selected;
    }
    document.dispatchEvent(new CustomEvent("tab", { detail: chosen.id }));
  };
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => show(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      const next = key === "Home" ? tabs[0] : key === "End" ? tabs.at(-1) : step && tabs.at((i + step) % tabs.length);
      if (!next || next.disabled) return;
      next.focus();
      show(next);
    });
  }
}

function showDevice(facts, about, able) {
  const parts = [facts.browser, facts.device, facts.platform, facts.cores && `${facts.cores} cores`];
  byId("device").textContent = parts.filter(Boolean).join(", ");
  for (const { name, why } of Object.values(able)) {
    const item = element("li", `${name}: `);
    item.append(element("span", why ? "missing" : "ready", why ? "doubtful" : "good"), why ? ` ${why}` : "");
    byId("abilities").append(item);
  }
  byId("versions").textContent = `mnext_tf ${about.version}, ${about.runtime.name} ${about.runtime.version}. Images never leave this device.`;
  if (!about.refused.length) return;
  byId("refused").hidden = false;
  byId("refused").firstElementChild.textContent = `${counted(about.refused.length, "file")} that cannot be shown here`;
  for (const { name, why, command } of about.refused) {
    const item = element("li", `${name}: ${why}`);
    if (command) item.append(". This exports one that can: ", element("code", command));
    byId("refused").lastElementChild.append(item);
  }
}

/** Whatever may be needed later: from here on the page works offline. */
async function fetchAhead({ about, models, runner, processors }) {
  await Promise.all([fetched(about.sample), ...models.map((model) => model.fetchAhead())]);
  const backends = new Set(processors.map(({ backend }) => backend));
  await Promise.allSettled([...backends].map((backend) => runner.start(backend)));
  document.body.dataset.loaded = "all";
  byId("versions").append(" All is loaded: from here on the page needs no network.");
}

async function start() {
  setUpTabs();
  const about = JSON.parse(new TextDecoder().decode(await fetched("models.json")));
  const models = about.models.map((entry) => new Model(entry));
  const runner = new Processors(about.runtime.folder);
  const starting = runner.start("wasm").catch((error) => ({ threads: false, error }));
  const [facts, gpu, cpu] = await Promise.all([describe(), findGpu(), starting]);
  const able = abilities(gpu, cpu);
  const page = { about, models, runner, facts, processors: processors(gpu, cpu.threads), noCamera: able.camera.why };
  showDevice(facts, about, able);
  setUpSee(page);
  setUpCheck(page);
  setUpTime(page);
  document.querySelector("main").inert = false;
  byId("empty").textContent = "Choose an image, take the sample, or start the camera. Images stay on this device.";
  document.body.dataset.ready = "true";
  await fetchAhead(page).catch(() => {}); // what is really needed fails again, and then says why
}

start().catch((error) => {
  byId("failure").textContent = `The page cannot start: ${error.message}`;
  byId("failure").hidden = false;
});
