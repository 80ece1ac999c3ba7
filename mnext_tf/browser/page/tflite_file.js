// What a .tflite file of ours says of itself: the ZIP archive behind the model, not compressed.

const MAX_BYTES = 64 * 2 ** 20;

/** {preprocess, labels, detector} as far as the file has them. Raises Error for a damaged archive. */
export function readArchive(bytes) {
  const files = entries(bytes);
  const text = (name) => (name in files ? new TextDecoder("utf-8", { fatal: true }).decode(files[name]) : null);
  const json = (name) => (name in files ? JSON.parse(text(name)) : null);
  const labels = text("labels.txt");
  const lines = labels?.replaceAll("\r\n", "\n").split("\n");
  if (lines?.at(-1) === "") lines.pop();
  return { preprocess: json("preprocess.json"), labels: lines ?? null, detector: json("detector.json") };
}

/** name -> Uint8Array. */
function entries(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  const lowest = Math.max(0, end - 65535); // a comment may follow
  while (end >= lowest && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < lowest) return {};
  const files = {};
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true), total = 0; count > 0; count--) {
    if (view.getUint32(at, true) !== 0x02014b50) throw new Error("The archive inside the file is damaged.");
    const size = view.getUint32(at + 24, true);
    const [name, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    total += size;
    if (view.getUint16(at + 10, true) !== 0 || total > MAX_BYTES) {
      throw new Error("The archive inside the file is compressed or too large; files of ours have neither.");
    }
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    files[new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + name))] = bytes.subarray(start, start + size);
    at += 46 + name + extra + comment;
  }
  return files;
}
