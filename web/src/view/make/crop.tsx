// A picture with what lies outside the clip's frame darkened.
import { useEffect, useRef } from "preact/hooks";
import type { Part } from "../../media/crop";
import type { Picture } from "../../state/picture";

const MOST = { width: 880, height: 560 };

export function Crop(props: { picture: Picture; part: Part; label: string }) {
  const { picture, part, label } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const { bitmap } = picture;
    const scale = Math.min(MOST.width / bitmap.width, MOST.height / bitmap.height);
    const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
    const target = canvas.current!;
    [target.width, target.height] = [width, height];
    const context = target.getContext("2d")!;
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(bitmap, 0, 0, width, height);
    const frame = [part.x * scale, part.y * scale, part.width * scale, part.height * scale] as const;
    context.fillStyle = "rgb(8 10 12 / 0.68)";
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(...frame);
    context.fill("evenodd");
    corners(context, frame, Math.max(1.5, width / 300));
  }, [picture, part.x, part.y, part.width, part.height]);
  return <canvas ref={canvas} class="crop" role="img" aria-label={label} />;
}

/** Marks at the corners of the frame, light on dark, so that they show on every picture. */
function corners(context: CanvasRenderingContext2D, [x, y, w, h]: readonly [number, number, number, number], thick: number): void {
  const long = Math.min(w, h) / 10;
  for (const [style, width] of [["rgb(8 10 12 / 0.8)", thick * 2.4], ["#fff", thick]] as const) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    for (const [cx, cy, dx, dy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]] as const) {
      const [px, py] = [cx + (dx * thick) / 2, cy + (dy * thick) / 2];
      context.moveTo(px + dx * long, py);
      context.lineTo(px, py);
      context.lineTo(px, py + dy * long);
    }
    context.stroke();
  }
}
