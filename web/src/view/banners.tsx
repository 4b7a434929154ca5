// What is wrong with the connection or the node as a whole, and that it is well again.
import { useEffect, useRef, useState } from "preact/hooks";
import { link } from "../api/session";
import { loading, lookAtNode, restarts, stopping } from "../state/node";
import { say } from "../state/say";
import { text } from "../text";

export function Banners() {
  const t = text.value;
  const down = link.value === "down";
  const restarted = restarts.value;
  const [seen, see] = useState(0);
  const wasDown = useRef(false);
  useEffect(() => {
    if (!down && wasDown.current) say(t.backAgain);
    wasDown.current = down;
  }, [down]);
  return (
    <div class="banners" role="status">
      {down && (
        <div class="banner bad">
          <p>
            <strong>{t.lostTitle}.</strong> {t.lostText}
          </p>
          <button type="button" onClick={() => void lookAtNode()}>
            {t.tryNow}
          </button>
        </div>
      )}
      {!down && loading.value && <p class="banner warn">{t.loadingText}</p>}
      {!down && stopping.value && <p class="banner warn">{t.stoppingText}</p>}
      {!down && restarted > seen && (
        <div class="banner good">
          <p>{t.restarted}</p>
          <button type="button" onClick={() => see(restarted)}>
            {t.close}
          </button>
        </div>
      )}
    </div>
  );
}
