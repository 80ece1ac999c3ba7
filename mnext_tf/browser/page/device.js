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

/** Thread counts that are worth choosing: 1, 2, 4 and no more than there are cores. */
export function threadCounts() {
  const cores = Math.min(navigator.hardwareConcurrency || 1, 4);
  return self.crossOriginIsolated ? [1, 2, 4].filter((n) => n === 1 || n <= cores) : [1];
}

/** Whether WebGPU has a GPU here. */
export async function findGpu() {
  return Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
}

const SECURE =
  "This address is not secure. On a phone with a cable, run “adb reverse tcp:8000 tcp:8000” (with the server's port) on the " +
  "computer and open http://localhost:8000 here; or start the server with --https.";

/** [{name, works, why}] for threads, GPU, and camera: what is missing and how to get it. */
export function abilities(gpu) {
  const secure = self.isSecureContext;
  const camera = secure && Boolean(navigator.mediaDevices?.getUserMedia);
  const isolated = "This page's server does not send the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy.";
  return [
    {
      name: "CPU threads",
      works: self.crossOriginIsolated,
      why: self.crossOriginIsolated ? "" : secure ? isolated : SECURE,
    },
    {
      name: "GPU (WebGPU)",
      works: gpu,
      why: gpu ? "" : !secure ? SECURE : "gpu" in navigator ? "This browser found no GPU that it may use." : "This browser has no WebGPU.",
    },
    { name: "Camera", works: camera, why: camera ? "" : secure ? "This browser gives pages no camera." : SECURE },
  ];
}
