// The clips as a grid of which only the rows near the window exist, however many there are.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { fetchMore, items, nextPage } from "../../state/gallery";
import { text } from "../../text";
import { Tile } from "./tile";

const GAP = 16;
const LEAST_WIDTH = 220;
const CAPTION = 101;
const BEYOND = 2; // rows above and below the window

/** How the grid lies in the window. */
type Layout = { columns: number; row: number; top: number; from: number; to: number };

function layOut(list: HTMLElement): Layout {
  const { width, top } = list.getBoundingClientRect();
  const columns = Math.max(1, Math.floor((width + GAP) / (LEAST_WIDTH + GAP)));
  const row = Math.round(((width - GAP * (columns - 1)) / columns) * 0.625) + CAPTION + GAP;
  const from = Math.max(0, Math.floor(-top / row) - BEYOND);
  return { columns, row, top, from, to: Math.ceil((innerHeight - top) / row) + BEYOND };
}

export function Grid() {
  const t = text.value;
  const list = useRef<HTMLUListElement>(null);
  const [layout, set] = useState<Layout>({ columns: 1, row: 300, top: 0, from: 0, to: 4 });
  const [playing, play] = useState("");
  const all = items.value;

  useLayoutEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      if (!list.current) return;
      const now = layOut(list.current);
      set((before) =>
        before.columns === now.columns && before.row === now.row && before.from === now.from && before.to === now.to ? before : now,
      );
    };
    const soon = () => (frame ||= requestAnimationFrame(look));
    look();
    const resized = new ResizeObserver(soon);
    resized.observe(list.current!);
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      resized.disconnect();
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, []);

  const { columns, row } = layout;
  const rows = Math.ceil(all.length / columns);
  const to = Math.min(rows, layout.to);
  const from = Math.min(layout.from, Math.max(0, to - 1));
  const more = nextPage.value !== "";
  useEffect(() => {
    if (more && layout.to >= rows - 2) void fetchMore();
  }, [more, layout.to, rows]);

  return (
    <>
      <ul
        ref={list}
        class="grid"
        style={{
          gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
          gridAutoRows: `${row - GAP}px`,
          paddingTop: `${from * row}px`,
          paddingBottom: `${Math.max(0, rows - to) * row}px`,
        }}
      >
        {all.slice(from * columns, to * columns).map((generation, at) => (
          <li key={generation.id} aria-setsize={more ? -1 : all.length} aria-posinset={from * columns + at + 1}>
            <Tile generation={generation} playing={playing === generation.id} play={play} />
          </li>
        ))}
      </ul>
      {more && <p class="hint">{t.fetchingMore}</p>}
    </>
  );
}
