// A given picture at the clip's size, sample by sample as the node makes it: bilinear, half-pixel centres, no antialiasing.
import { partShown, type Size } from "./crop";

type Tap = { first: number; second: number; weight: number };

/** The two source samples that each output sample is mixed from. */
function taps(source: number, from: number, length: number, target: number): Tap[] {
  const ratio = length / target;
  return Array.from({ length: target }, (_, at) => {
    const position = Math.max(0, from + ratio * (at + 0.5) - 0.5);
    const first = Math.min(Math.floor(position), source - 1);
    return { first, second: Math.min(first + 1, source - 1), weight: Math.min(1, Math.max(0, position - first)) };
  });
}

/** RGBA samples of `picture` at the clip's size. */
export function prepare(picture: ImageData, clip: Size, stretched: boolean): ImageData {
  const part = partShown(picture, clip, stretched);
  const columns = taps(picture.width, part.x, part.width, clip.width);
  const rows = taps(picture.height, part.y, part.height, clip.height);
  const { data, width } = picture;
  const made = new ImageData(clip.width, clip.height);
  let out = 0;
  for (const row of rows) {
    const [upper, lower] = [row.first * width, row.second * width];
    for (const column of columns) {
      for (let channel = 0; channel < 3; channel++) {
        const across = (line: number) => {
          const first = data[(line + column.first) * 4 + channel]!;
          return first + column.weight * (data[(line + column.second) * 4 + channel]! - first);
        };
        const top = across(upper);
        made.data[out++] = Math.round(top + row.weight * (across(lower) - top));
      }
      made.data[out++] = 255;
    }
  }
  return made;
}
