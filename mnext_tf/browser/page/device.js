// What the browser says of the device, and what it lacks for which part of the page.

/** Facts, text by name: browser, platform, device, and so on; "" for what is not told. */
export async function describe() {
  const hints = await navigator.userAgentData?.getHighEntropyValues(["model", "platformVersion", "architecture", "fullVersionList"]);
  const brands = hints?.fullVersionList ?? navigator.userAgentData?.brands ?? [];
  const brand = brands.find((b) => !/not.?a.?brand|chromium/i.test(b.brand)) ?? brands.find((b) => b.brand === "Chromium");
  return {
    browser: brand ? `${brand.brand} ${brand.version.split(".")[0]}` : browserOf(navigator.userAgent),
    platform: hints ? `${hints.platform} ${hints.platformVersion.split(".")[0]}`.trim() : platformOf(navigator.userAgent),
    device: hints?.model ?? "",
    architecture: hints?.architecture ?? "",
    cores: String(navigator.hardwareConcurrency ?? ""),
    memory_gb: String(navigator.deviceMemory ?? ""), // rounded by the browser, 8 at most
    user_agent: navigator.userAgent.slice(0, 400),
    isolated: self.crossOriginIsolated ? "yes" : "no",
  };
}

function browserOf(agent) {
  const [, name, version] = /(Firefox|FxiOS|CriOS|EdgA?|OPR)\/(\d+)/.exec(agent) ?? /(?:Version\/(\d+).*)?(Safari)/.exec(agent) ?? [];
  return version === "Safari" ? `Safari ${name ?? ""}`.trim() : name ? `${name} ${version}` : "";
}

function platformOf(agent) {
  const known = /Android [\d.]+|(?:iPhone|iPad)[^)]*OS [\d_]+|Mac OS X [\d_.]+|Windows NT [\d.]+|Linux/.exec(agent);
  return known ? known[0].replaceAll("_", ".") : "";
}

/** Thread counts that are worth choosing: 1, and where the runtime has threads 2 and 4, no more than there are cores. */
export function threadCounts(threads) {
  return [1, 2, 4].filter((n) => n === 1 || (threads && n <= (navigator.hardwareConcurrency || 1)));
}

/** Whether WebGPU has a GPU here. */
export async function findGpu() {
  return Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
}

/** {threads, gpu, camera}, each {name, why}: what is missing and how to get it; "" where it is there. cpu: the runtime's start. */
export function abilities(gpu, cpu) {
  const port = location.port || "80";
  const insecure =
    `This address is not secure. On a phone with a cable, run “adb reverse tcp:${port} tcp:${port}” on the computer and ` +
    `open http://localhost:${port}${location.pathname}${location.hash} here; or start the server with --https.`;
  const lacks = (why) => (self.isSecureContext ? why : insecure);
  return {
    threads: { name: "CPU threads", why: cpu.threads ? "" : lacks(whyOneThread(cpu)) },
    gpu: { name: "GPU (WebGPU)", why: gpu ? "" : lacks("gpu" in navigator ? "This browser found no GPU that it may use." : "This browser has no WebGPU.") },
    camera: { name: "Camera", why: navigator.mediaDevices?.getUserMedia ? "" : lacks("This browser gives pages no camera.") },
  };
}

function whyOneThread({ error, simd }) {
  if (error) return error.message;
  if (!self.crossOriginIsolated) {
    return "This page's server does not send the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy.";
  }
  return simd ? "This browser gives WebAssembly no threads." : "This browser's WebAssembly has no relaxed SIMD, without which LiteRT.js has no threads.";
}

let awake = Promise.resolve(null); // the lock

/** Keeps the screen on, or no longer, where the browser can. It ends by itself when the page is hidden. */
export function keepAwake(wanted) {
  awake = awake.then((held) => {
    if (wanted) return held && !held.released ? held : navigator.wakeLock?.request("screen").catch(() => null);
    return held?.release();
  });
}
