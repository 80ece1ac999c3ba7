// Networks on processors: the page's side of worker.js.

import { readArchive } from "./tflite_file.js";
import { checkRecord, toInput } from "./preprocess.js";
import { detections } from "./boxes.js";

/** A worker whose operations are promises. */
class Remote {
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
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message || "The worker stopped."));
      this.#waiting.clear();
    };
  }

  call(operation, payload) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(this.#next, { resolve, reject });
      this.#worker.postMessage({ id: this.#next++, operation, payload });
    });
  }

  stop() {
    this.#worker.terminate();
  }
}

/** Both are there from the start, so that nothing has to be fetched later; the runtime starts when it is needed. */
export class Processors {
  #folder;
  #remotes;
  #started = {};
  #ready = new Map(); // of "backend threads model" to a promise

  constructor(folder) {
    this.#folder = new URL(folder, document.baseURI).href;
    this.#remotes = { wasm: new Remote(), webgpu: new Remote() };
  }

  /** What runs a backend: {threads, jspi, build, adapter}. Raises Error where this device has none. */
  start(backend) {
    this.#started[backend] ??= this.#call(backend, "start", { folder: this.#folder, gpu: backend === "webgpu" });
    return this.#started[backend];
  }

  /** A runtime that aborts, as it does over some networks, computes nothing any more: a new one takes its place. */
  async #call(backend, operation, payload) {
    const remote = this.#remotes[backend];
    try {
      return await remote.call(operation, payload);
    } catch (error) {
      if (/Aborted\(|unreachable|out of bounds|device.*lost/i.test(error.message) && remote === this.#remotes[backend]) {
        remote.stop();
        this.#remotes[backend] = new Remote();
        delete this.#started[backend];
        for (const key of this.#ready.keys()) if (key.startsWith(`${backend} `)) this.#ready.delete(key);
        throw new Error("LiteRT.js gave up on this network.", { cause: error });
      }
      throw error;
    }
  }

  /** A model ready on a processor: {key, ms, ranOn}; kept for the next time. */
  prepare(model, { backend, threads }) {
    const key = `${backend} ${threads} ${model.name}`;
    if (!this.#ready.has(key)) {
      const preparing = this.start(backend).then(async () => {
        const made = await this.#call(backend, "compile", { key, bytes: await model.bytes(), threads });
        return { key, ...made };
      });
      this.#ready.set(key, preparing);
      preparing.catch(() => this.#ready.delete(key));
    }
    return this.#ready.get(key);
  }

  /** Whether a model is on a processor already; its first run there takes longer than others. */
  isReady(model, { backend, threads }) {
    return this.#ready.has(`${backend} ${threads} ${model.name}`);
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

/** A .tflite file with what it says of itself; `about` is its entry in models.json. */
export class Model {
  #content;
  #details;

  constructor(about) {
    Object.assign(this, { name: about.name, title: about.title, task: about.task, about });
  }

  bytes() {
    this.#content ??= fetched(this.about.file).then((content) => new Uint8Array(content));
    this.#content.catch(() => (this.#content = undefined));
    return this.#content;
  }

  /** {preprocess, labels, detector, priors}: by the record inside the file, and where it has none, beside it. */
  details() {
    this.#details ??= this.#read();
    this.#details.catch(() => (this.#details = undefined));
    return this.#details;
  }

  async #read() {
    const inside = readArchive(await this.bytes());
    const { preprocess, labels, priors } = this.about;
    return {
      preprocess: checkRecord(inside.preprocess ?? preprocess),
      labels: inside.labels ?? labels,
      detector: inside.detector,
      priors: priors ? new Float32Array(await fetched(priors)) : null,
    };
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
    const { detector, priors } = await this.details();
    if (this.task === "detection") return { detections: detections(floats, detector, priors) };
    const values = floats[this.about.outputs[0].name];
    return { probabilities: this.about.gives === "probabilities" ? values : softmax(values) };
  }
}

/** [{label, probability}], the likeliest first; of equal ones the first. */
export function likeliest(probabilities, labels, count) {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  return order.slice(0, count).map((k) => ({ index: k, label: labels?.[k] ?? `class ${k}`, probability: probabilities[k] }));
}

export async function fetched(path) {
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
