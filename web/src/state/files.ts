// Files as object URLs, for pictures and videos: kept while they are of use, given back behind that.
import { fetchOutput } from "../api/download";
import { Output } from "../gen/ltx/v1/generation_pb";

const KEPT = 80;
const posters = new Map<string, Promise<string>>();

/** The URL of a generation's poster; the last `KEPT` are kept. */
export function posterOf(id: string, stop: AbortSignal): Promise<string> {
  const kept = posters.get(id);
  if (kept) {
    posters.delete(id);
    posters.set(id, kept);
    return kept;
  }
  const fetched = fetchOutput(id, Output.POSTER, stop).then(({ blob }) => URL.createObjectURL(blob));
  posters.set(id, fetched);
  fetched.catch(() => posters.delete(id));
  for (const [oldest, url] of posters) {
    if (posters.size <= KEPT) break;
    posters.delete(oldest);
    url.then((gone) => URL.revokeObjectURL(gone), () => {});
  }
  return fetched;
}

/** Saves a file on the reader's machine. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
