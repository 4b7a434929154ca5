// Asks for a token when the node does; what was being done waits behind it.
import { useEffect, useRef, useState } from "preact/hooks";
import { access, enter } from "../api/session";
import { text } from "../text";

export function TokenDialog() {
  const t = text.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const [typed, type] = useState("");
  const wanted = access.value !== "open";
  const unknown = access.value === "unknown";
  useEffect(() => {
    if (wanted && !dialog.current?.open) dialog.current?.showModal();
    if (!wanted) dialog.current?.close();
  }, [wanted]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (!typed.trim()) return;
    enter(typed);
    type("");
  };
  return (
    <dialog ref={dialog} class="token" aria-labelledby="token-title" onCancel={(event) => event.preventDefault()}>
      {wanted && (
        <form onSubmit={submit}>
          <h2 id="token-title">{unknown ? t.tokenWrong : t.tokenTitle}</h2>
          <p id="token-text">{unknown ? t.tokenWrongText : t.tokenText}</p>
          <label for="token">{t.token}</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            aria-describedby="token-text"
            aria-invalid={unknown}
            value={typed}
            onInput={(event) => type(event.currentTarget.value)}
          />
          <button class="primary" type="submit">
            {t.tokenUse}
          </button>
        </form>
      )}
    </dialog>
  );
}
