// The client's clips, filtered, playing where they stand.
import { useEffect } from "preact/hooks";
import { beginListing, EVERYTHING, filter, items, loaded, nextPage, unlisted } from "../../state/gallery";
import { text } from "../../text";
import { ProblemText } from "../problem";
import { Filters } from "./filters";
import { Grid } from "./grid";

export function Gallery() {
  const t = text.value;
  useEffect(beginListing, []);
  const everything = JSON.stringify(filter.value) === JSON.stringify(EVERYTHING);
  const problem = unlisted.value;
  return (
    <div class="gallery">
      <h1 tabIndex={-1}>{t.clipsTitle}</h1>
      <p class="hint">{t.clipsText}</p>
      <Filters />
      {problem && (problem.kind === "lost" ? <p class="note warn">{t.listLost}</p> : <div role="alert" class="note bad"><ProblemText problem={problem} /></div>)}
      <p class="listed" role="status">
        {loaded.value && items.value.length > 0 && t.listed(items.value.length, nextPage.value !== "")}
      </p>
      {!loaded.value && !problem && <p>{t.fetchingClip}</p>}
      {loaded.value && items.value.length === 0 && (
        <div class="empty">
          <h2>{everything ? t.none : t.noneMatch}</h2>
          {everything ? (
            <p>
              {t.noneText} <a href="#/make">{t.makeTitle}</a>
            </p>
          ) : (
            <button type="button" onClick={() => (filter.value = EVERYTHING)}>
              {t.clear}
            </button>
          )}
        </div>
      )}
      {items.value.length > 0 && <Grid />}
    </div>
  );
}
