// The frame around every view: header, what is wrong with the connection, the token, and what is said aloud.
import { useEffect, useRef } from "preact/hooks";
import { route } from "../state/route";
import { said } from "../state/say";
import { text } from "../text";
import { Banners } from "./banners";
import { ClipView } from "./clip/clip";
import { Gallery } from "./gallery/gallery";
import { Header } from "./header";
import { Make } from "./make/make";
import { NodeView } from "./node";
import { TokenDialog } from "./token";

export function App() {
  const t = text.value;
  const now = route.value;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const key = now.view === "clip" ? now.id : now.view;
  const titles = { make: t.makeTitle, clips: t.clipsTitle, clip: t.clipTitle, node: t.nodeTitle };
  const title = titles[now.view];

  useEffect(() => void (document.title = `${title} – ltxd`), [title]);
  // Who goes to another view hears its heading, and goes on from there.
  useEffect(() => {
    if (first.current) first.current = false;
    else {
      scrollTo(0, 0);
      main.current?.querySelector<HTMLElement>("h1")?.focus();
    }
  }, [key]);

  return (
    <>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        {t.skip}
      </a>
      <Header />
      <Banners />
      <main id="content" ref={main} tabIndex={-1}>
        {now.view === "make" && <Make />}
        {now.view === "clips" && <Gallery />}
        {now.view === "clip" && <ClipView key={now.id} id={now.id} />}
        {now.view === "node" && <NodeView />}
      </main>
      <TokenDialog />
      <div class="unseen" role="status" aria-live="polite">
        {said.value}
      </div>
    </>
  );
}
