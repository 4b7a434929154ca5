// How the node fits a picture into a clip: resized until it covers the frame, then cropped around the centre.

/** A size in pixels. */
export type Size = { width: number; height: number };

/** A part of a picture, in its own pixels. */
export type Part = { x: number; y: number; width: number; height: number };

/** One axis: the part of `source` that `target` samples are made of. */
function axis(source: number, scale: number, target: number): [from: number, length: number] {
  // The resized length is rounded up and the offset down, as the node does.
  const resized = Math.ceil(source * scale);
  const offset = Math.floor(Math.max(0, resized - target) / 2);
  return [(offset * source) / resized, (target * source) / resized];
}

/** The part of a picture that a clip shows; families that stretch show all of it. */
export function partShown(picture: Size, clip: Size, stretched: boolean): Part {
  if (stretched) return { x: 0, y: 0, width: picture.width, height: picture.height };
  const scale = Math.max(clip.height / picture.height, clip.width / picture.width);
  const [x, width] = axis(picture.width, scale, clip.width);
  const [y, height] = axis(picture.height, scale, clip.height);
  return { x, y, width, height };
}

/** The share of the picture's area that is cut off, 0 to 1. */
export function shareCut(picture: Size, part: Part): number {
  return Math.max(0, 1 - (part.width * part.height) / (picture.width * picture.height));
}

/** Whether a model's family stretches pictures to the frame instead of cropping them. */
export function stretches(family: string): boolean {
  return family.startsWith("ltx-video") || family.startsWith("ltxv");
}
