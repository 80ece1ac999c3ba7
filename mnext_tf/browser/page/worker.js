// Runs LiteRT.js beside the page. A classic worker: LiteRT.js loads its WebAssembly by importScripts.
// One worker computes on the CPU, another on the GPU: a process of LiteRT.js has one build of the runtime.

"use strict";

let litert; // the module
let runtime; // where it is, and what it can do
const compiled = new Map(); // key -> {model, run}

const operations = {
  /** {folder, gpu}: the build of the runtime for this device, started. */
  async start({ folder, gpu }) {
    litert = await import(`${folder}litert.js`);
    const isolated = self.crossOriginIsolated && (await litert.supportsFeature("threads"));
    const simd = await litert.supportsFeature("relaxedSimd");
    const threads = !gpu && isolated && simd;
    const jspi = gpu && simd && (await litert.supportsFeature("jspi"));
    // As LiteRT.js chooses it; threads start from this file, which they do not find by themselves inside a worker.
    const build = simd ? (threads ? "_threaded" : jspi ? "_jspi" : "") : "_compat";
    self.Module = {
      mainScriptUrlOrBlob: `${folder}wasm/litert_wasm${build}_internal.js`,
      locateFile: (name) => `${folder}wasm/${name}`,
      print: () => {},
      printErr: () => {},
    };
    await litert.loadLiteRt(`${folder}wasm/`, { threads, jspi });
    runtime = { threads, gpu };
    return { threads, simd, adapter: gpu ? await adapter() : null };
  },

  /** {key, bytes, threads}: a model ready to run, with as many threads as there are, and the time that took. */
  async compile({ key, bytes, threads }) {
    const numThreads = runtime.threads ? threads : 1;
    const started = performance.now();
    const options = runtime.gpu ? { accelerator: "webgpu" } : { accelerator: "wasm", cpuOptions: { numThreads } };
    const model = await litert.loadAndCompile(bytes, options);
    const onGpu = model.options.accelerator === "webgpu";
    const accelerated = !runtime.gpu || (onGpu && model.isFullyAccelerated);
    compiled.set(key, { model, input: model.getInputDetails()[0], outputs: model.getOutputDetails() });
    const ranOn = !runtime.gpu ? "wasm" : accelerated ? "webgpu" : onGpu ? "webgpu_partial" : "wasm";
    return { ms: performance.now() - started, ranOn, threads: numThreads };
  },

  /** {key, input}: the outputs as {name: {data, shape}}, and the time with input and outputs copied. */
  async run({ key, input }) {
    const started = performance.now();
    const outputs = await once(compiled.get(key), input);
    return { outputs, ms: performance.now() - started };
  },

  /** {key, input, count}: the times of `count` runs in ms. */
  async time({ key, input, count }) {
    const times = [];
    for (let i = 0; i < count; i++) {
      const started = performance.now();
      await once(compiled.get(key), input);
      times.push(performance.now() - started);
    }
    return times;
  },

  async release({ key }) {
    compiled.get(key)?.model.delete();
    compiled.delete(key);
  },
};

async function once({ model, input, outputs }, values) {
  const tensor = new litert.Tensor(values, input.shape);
  let results = [];
  try {
    results = await model.run([tensor]);
    const found = {};
    for (const [i, result] of results.entries()) {
      found[outputs[i].name] = { data: await result.data(), shape: Array.from(outputs[i].shape) };
    }
    return found;
  } finally {
    tensor.delete();
    results.forEach((result) => result.delete());
  }
}

async function adapter() {
  if (!litert.getWebGpuDevice()) throw new Error("The browser has WebGPU, but found no GPU for it.");
  const info = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))?.info;
  const { vendor = "", architecture = "", device = "", description = "", isFallbackAdapter = false } = info ?? {};
  return { vendor, architecture, device, description, software: isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${architecture} ${description}`) };
}

let queue = Promise.resolve(); // one at a time: the runtime is not made for more

self.onmessage = ({ data: { id, operation, payload } }) => {
  queue = queue.then(async () => {
    try {
      self.postMessage({ id, result: await operations[operation](payload) });
    } catch (error) {
      self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
};
