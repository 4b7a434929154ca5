// How alike two pictures are: PSNR over RGB, and SSIM of the luma (Wang et al. 2004: 11×11 Gaussian window of σ 1.5), as the
// node measures them.

/** `psnr` in dB, 100 for equal pictures; `ssim` −1 to 1, undefined for pictures smaller than its window. */
export type Likeness = { psnr: number; ssim: number | undefined };

const WINDOW = 11;
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;

/** The likeness of two pictures of one size. */
export function likeness(ours: ImageData, theirs: ImageData): Likeness {
  const { width, height } = ours;
  const small = Math.min(width, height) < WINDOW;
  return { psnr: psnr(ours.data, theirs.data), ssim: small ? undefined : ssim(luma(ours.data), luma(theirs.data), width, height) };
}

function psnr(a: Uint8ClampedArray, b: Uint8ClampedArray): number {
  let squares = 0;
  for (let i = 0; i < a.length; i++) if (i % 4 !== 3) squares += (a[i]! - b[i]!) ** 2;
  return squares === 0 ? 100 : Math.min(100, 10 * Math.log10((255 ** 2 * ((a.length / 4) * 3)) / squares));
}

function luma(rgba: Uint8ClampedArray): Float64Array {
  return Float64Array.from({ length: rgba.length / 4 }, (_, i) => {
    return 0.2126 * rgba[4 * i]! + 0.7152 * rgba[4 * i + 1]! + 0.0722 * rgba[4 * i + 2]!;
  });
}

function ssim(x: Float64Array, y: Float64Array, width: number, height: number): number {
  const mean = (values: Float64Array) => blurred(values, width, height);
  const product = (a: Float64Array, b: Float64Array) => a.map((value, i) => value * b[i]!);
  const [mx, my] = [mean(x), mean(y)];
  const [xx, yy, xy] = [mean(product(x, x)), mean(product(y, y)), mean(product(x, y))];
  let sum = 0;
  for (let i = 0; i < mx.length; i++) {
    const [a, b] = [mx[i]!, my[i]!];
    const top = (2 * a * b + C1) * (2 * (xy[i]! - a * b) + C2);
    sum += top / ((a * a + b * b + C1) * (xx[i]! - a * a + yy[i]! - b * b + C2));
  }
  return sum / mx.length;
}

const weights = Array.from({ length: WINDOW }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 ** 2)));
const total = weights.reduce((a, b) => a + b);
const gaussian = weights.map((weight) => weight / total);

/** Weighted means where the window fits: along rows, then along columns. */
function blurred(values: Float64Array, width: number, height: number): Float64Array {
  const [across, down] = [width - WINDOW + 1, height - WINDOW + 1];
  const rows = new Float64Array(across * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < WINDOW; k++) sum += gaussian[k]! * values[y * width + x + k]!;
      rows[y * across + x] = sum;
    }
  const means = new Float64Array(across * down);
  for (let i = 0; i < means.length; i++) {
    let sum = 0;
    for (let k = 0; k < WINDOW; k++) sum += gaussian[k]! * rows[i + k * across]!;
    means[i] = sum;
  }
  return means;
}
