// Networks on processors: the page's side of worker.js.

import { readArchive } from "./tflite_file.js";
import { checkRecord, toInput } from "./preprocess.js";
import { detections } from "./boxes.js";

/** A worker whose operations are promises. Once `dead`, it refuses them all. */
class Remote {
  dead = null; // the error that ended it
  #worker = new Worker(new URL("worker.js", import.meta.url));
  #waiting = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      error === undefined ? resolve(result) : reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault(); // it is told to whoever waits
      this.stop(new Error(event.message || "The worker stopped."));
    };
  }

  call(operation, payload) {
    return new Promise((resolve, reject) => {
      if (this.dead) return reject(this.dead);
      this.#waiting.set(this.#next, { resolve, reject });
      this.#worker.postMessage({ id: this.#next++, operation, payload });
    });
  }

  stop(error) {
    this.dead ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(this.dead);
    this.#waiting.clear();
  }
}

/** Both are there from the start, so that nothing has to be fetched later; the runtime starts when it is needed. */
export class Processors {
  #folder;
  #remotes = { wasm: new Remote(), webgpu: new Remote() };
  #started = {};
  #ready = new Map(); // of "backend threads model" to a promise
  #count = 0;
  #last = Promise.resolve();

  constructor(folder) {
    this.#folder = new URL(folder, document.baseURI).href;
  }

  /** `work`, after what came before it: nobody releases a network that another uses. */
  alone(work) {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** What runs a backend: {threads, simd, adapter}. Raises Error where this device has none. */
  start(backend) {
    const remote = this.#remote(backend);
    this.#started[backend] ??= remote.call("start", { folder: this.#folder, gpu: backend === "webgpu" }).catch((error) => {
      remote.stop(error); // LiteRT.js starts once in a worker
      throw error;
    });
    return this.#started[backend];
  }

  /** The worker of a backend; a new one, with nothing in it, in place of a dead one. */
  #remote(backend) {
    if (this.#remotes[backend].dead) {
      this.#remotes[backend] = new Remote();
      delete this.#started[backend];
      for (const key of this.#ready.keys()) if (key.startsWith(`${backend} `)) this.#ready.delete(key);
    }
    return this.#remotes[backend];
  }

  /** A runtime that aborts, as it does over some networks, computes nothing any more. */
  async #call(backend, operation, payload) {
    const remote = this.#remote(backend);
    try {
      return await remote.call(operation, payload);
    } catch (error) {
      if (!remote.dead && !/Aborted\(|unreachable|out of bounds|device.*lost/i.test(error.message)) throw error;
      remote.stop(error);
      throw new Error("LiteRT.js cannot run this network here.", { cause: error });
    }
  }

  /** A model ready on a processor: {key, ms, ranOn, threads, adapter}; kept until it is released. */
  prepare(model, processor) {
    this.#remote(processor.backend);
    const name = nameOf(model, processor);
    if (!this.#ready.has(name)) {
      const preparing = this.#compile(model, processor);
      this.#ready.set(name, preparing);
      preparing.catch(() => this.#ready.get(name) === preparing && this.#ready.delete(name));
    }
    return this.#ready.get(name);
  }

  async #compile(model, { backend, threads }) {
    const { adapter } = await this.start(backend);
    const key = ++this.#count;
    return { key, adapter, ...(await this.#call(backend, "compile", { key, bytes: await model.bytes(), threads })) };
  }

  /** Gives back the memory that a model takes on a processor. */
  async release(model, processor) {
    const preparing = this.#ready.get(nameOf(model, processor));
    this.#ready.delete(nameOf(model, processor));
    const { key } = (await preparing?.catch(() => null)) ?? {};
    if (key) await this.#call(processor.backend, "release", { key }).catch(() => {}); // a dead worker holds nothing
  }

  /** Whether a model is on a processor already; its first run there takes longer than others. */
  isReady(model, processor) {
    return this.#ready.has(nameOf(model, processor));
  }

  /** {outputs, ms} of values as the model's input holds them. */
  async run(model, processor, input) {
    const { key } = await this.prepare(model, processor);
    return this.#call(processor.backend, "run", { key, input });
  }

  async time(model, processor, input, count) {
    const { key } = await this.prepare(model, processor);
    return this.#call(processor.backend, "time", { key, input, count });
  }
}

const nameOf = (model, { backend, threads }) => `${backend} ${threads} ${model.name}`;

/** A .tflite file; `about` is its entry in models.json. */
export class Model {
  #record;

  constructor(about) {
    Object.assign(this, { name: about.name, title: about.title, task: about.task, about });
  }

  async bytes() {
    return new Uint8Array(await fetched(this.about.file));
  }

  /** {preprocess, labels, detector}: by the record inside the file, and of what it lacks as Python took it. */
  record() {
    this.#record ??= this.#read();
    this.#record.catch(() => (this.#record = undefined));
    return this.#record;
  }

  async #read() {
    const inside = readArchive(await this.bytes());
    const { preprocess, labels, detector } = this.about;
    return {
      preprocess: checkRecord(inside.preprocess ?? preprocess),
      labels: inside.labels ?? labels,
      detector: inside.detector ?? detector,
    };
  }

  /** Whatever a panel may need of it, so that it is there without a network too. */
  fetchAhead() {
    const { file, priors, golden } = this.about;
    return Promise.all([file, golden.input, golden.output, ...(priors ? [priors] : [])].map(fetched));
  }

  /** Pixels as this file takes them. */
  input(pixels) {
    return toInput(pixels, this.about.input, this.about.normalization);
  }

  /** name -> Float32Array of what a run gave, quantized outputs as floats. */
  floats(outputs) {
    const named = this.about.outputs;
    const given = Object.values(outputs);
    return Object.fromEntries(
      named.map((end, i) => {
        const { data } = outputs[end.name] ?? given[i];
        const values = end.dtype === "float32" ? data : Float32Array.from(data, (q) => (q - end.zero_point) * end.scale);
        return [end.name, values];
      }),
    );
  }

  /** {probabilities} or {detections} of a run's outputs. */
  async decode(outputs) {
    const floats = this.floats(outputs);
    if (this.task === "detection") {
      const { detector } = await this.record();
      return { detections: detections(floats, detector, new Float32Array(await fetched(this.about.priors))) };
    }
    const values = floats[this.about.outputs[0].name];
    return { probabilities: this.about.gives === "probabilities" ? values : softmax(values) };
  }
}

/** [{label, probability}], the likeliest first; of equal ones the first. */
export function likeliest(probabilities, labels, count) {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  return order.slice(0, count).map((k) => ({ index: k, label: labels?.[k] ?? `class ${k}`, probability: probabilities[k] }));
}

const kept = new Map(); // path to a promise of its content

/** The content of a file of the page, loaded once: a page that is left open needs no network. */
export function fetched(path) {
  if (!kept.has(path)) {
    const loading = load(path);
    kept.set(path, loading);
    loading.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

async function load(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} cannot be loaded (${response.status}).`);
  return response.arrayBuffer();
}

function softmax(values) {
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Float64Array.from(values, (v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
