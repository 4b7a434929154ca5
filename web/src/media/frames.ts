// Pixels of pictures and of a video's last frame.
import type { Size } from "./crop";

function canvasOf({ width, height }: Size): [HTMLCanvasElement, CanvasRenderingContext2D] {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })!];
}

/** The pixels of an encoded picture, the right way up. */
export async function pixelsOf(picture: Blob): Promise<ImageData> {
  const bitmap = await createImageBitmap(picture);
  const [, context] = canvasOf(bitmap);
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height);
  bitmap.close();
  return pixels;
}

/** The pixels of a video's last frame. */
export async function lastFrame(url: string, frames: number, fps: number): Promise<ImageData> {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  const seeked = new Promise<void>((resolve, reject) => {
    video.addEventListener("seeked", () => resolve(), { once: true });
    video.addEventListener("error", () => reject(new Error("the video cannot be decoded")), { once: true });
  });
  video.addEventListener("loadeddata", () => (video.currentTime = (frames - 0.5) / fps), { once: true });
  video.src = url;
  await seeked;
  const size = { width: video.videoWidth, height: video.videoHeight };
  const [, context] = canvasOf(size);
  context.drawImage(video, 0, 0);
  return context.getImageData(0, 0, size.width, size.height);
}
