// Files that outlive a reload of a tab, in the browser's IndexedDB: one record a tab, old ones and too many dropped. Where a
// browser keeps nothing, nothing is kept.
const DATABASE = "ltxd";
const STORE = "files";
const LONGEST_MS = 24 * 3600_000;
const MOST_BYTES = 256 << 20;

/** A file and its name. */
export type Shelved = { name: string; file: Blob };

type Row = { tab: string; time: number; bytes: number; files: Record<string, Shelved> };

const done = <T>(asked: IDBRequest<T>) =>
  new Promise<T>((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("IndexedDB"));
  });

/** Works in one transaction; what it returns counts once that is complete. */
async function within<T>(work: (store: IDBObjectStore) => Promise<T>, otherwise: T): Promise<T> {
  try {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "tab" });
    const database = await done(asked);
    try {
      const transaction = database.transaction(STORE, "readwrite");
      const complete = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB"));
      });
      const [answer] = await Promise.all([work(transaction.objectStore(STORE)), complete]);
      return answer;
    } finally {
      database.close();
    }
  } catch {
    return otherwise;
  }
}

/** The files of a tab, by what they are for; what is too old is dropped. */
export function shelved(tab: string): Promise<Record<string, Shelved>> {
  return within(async (store) => {
    const rows = (await done(store.getAll())) as Row[];
    for (const old of rows.filter(({ time }) => Date.now() - time > LONGEST_MS)) store.delete(old.tab);
    const own = rows.find((row) => row.tab === tab);
    return own && Date.now() - own.time <= LONGEST_MS ? own.files : {};
  }, {});
}

/**
 * Keeps a tab's files in place of those before; none at all forgets them, and so do files that cannot be kept. The oldest of other
 * tabs make room.
 */
export async function shelve(tab: string, files: Record<string, Shelved>): Promise<void> {
  // In a transaction of its own: what was there goes even where the browser has no room for what comes.
  await within(async (store) => void (await done(store.delete(tab))), undefined);
  const bytes = Object.values(files).reduce((sum, { file }) => sum + file.size, 0);
  if (bytes === 0 || bytes > MOST_BYTES) return;
  await within(async (store) => {
    const others = ((await done(store.getAll())) as Row[]).sort((a, b) => b.time - a.time);
    let sum = bytes;
    for (const row of others) if ((sum += row.bytes) > MOST_BYTES) store.delete(row.tab);
    await done(store.put({ tab, time: Date.now(), bytes, files } satisfies Row));
  }, undefined);
}
