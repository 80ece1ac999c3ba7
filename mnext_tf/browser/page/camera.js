// The camera: its stream, its frames, and in plain words why there is none.

const REASONS = {
  NotAllowedError:
    "This page may not use the camera. Allow it in the browser's settings of this page, and for the browser itself in those " +
    "of the device; then press Camera again.",
  NotFoundError: "The browser finds no camera on this device.",
  NotReadableError: "Another app uses the camera, or the device keeps it closed. Close that app, then press Camera again.",
};

/** A stream of the camera at the "environment" or of the "user". Raises Error in words for the user. */
export async function openCamera(facingMode) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode, width: { ideal: 640 } }, audio: false });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}

export function closeCamera(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

export async function hasSeveralCameras() {
  return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput").length > 1;
}

/** Until the video has a frame that was not there yet; a browser that does not tell gives the next one that it paints. */
export function nextFrame(video) {
  if (!video.requestVideoFrameCallback) return new Promise((resolve) => requestAnimationFrame(resolve));
  return new Promise((resolve) => {
    video.requestVideoFrameCallback(resolve);
    setTimeout(resolve, 500); // the camera stands still, or was stopped
  });
}
