// A picture that a person chose: shown at once, uploaded at once, and uploaded again when the node has forgotten it.
import { signal } from "@preact/signals";
import { problemOf, type Problem } from "../api/problem";
import { upload } from "../api/upload";

const TYPES = ["image/png", "image/jpeg", "image/webp"];

/** How far a picture's upload is. */
export type Upload =
  | { is: "going"; share: number; waiting: Problem | undefined }
  | { is: "there"; id: string }
  | { is: "refused"; problem: Problem };

export class Picture {
  readonly upload = signal<Upload>({ is: "going", share: 0, waiting: undefined });
  #stop = new AbortController();
  #sent: Promise<string>;

  private constructor(
    readonly file: Blob,
    readonly name: string,
    readonly bitmap: ImageBitmap,
  ) {
    this.#sent = this.#send();
  }

  /** Opens a file; undefined where the browser cannot, or the node would not, read it. */
  static async open(file: Blob, name: string): Promise<Picture | undefined> {
    if (!TYPES.includes(file.type)) return undefined;
    try {
      return new Picture(file, name, await createImageBitmap(file));
    } catch {
      return undefined;
    }
  }

  /** The id of the upload, once it is whole. */
  uploaded(): Promise<string> {
    return this.#sent;
  }

  /** Uploads it once more: the node no longer has it, or another client asks. */
  sendAgain(): Promise<string> {
    return (this.#sent = this.#send());
  }

  /** Stops what is on its way; the picture is no longer wanted. */
  drop(): void {
    this.#stop.abort();
  }

  #send(): Promise<string> {
    this.upload.value = { is: "going", share: 0, waiting: undefined };
    const told = (share: number) => (this.upload.value = { is: "going", share, waiting: undefined });
    const waiting = (problem: Problem | undefined) => {
      const now = this.upload.peek();
      if (now.is === "going") this.upload.value = { ...now, waiting: problem };
    };
    const sent = upload(this.file, this.#stop.signal, told, waiting).then(
      ({ uploadId }) => {
        this.upload.value = { is: "there", id: uploadId };
        return uploadId;
      },
      (thrown: unknown) => {
        this.upload.value = { is: "refused", problem: problemOf(thrown) };
        throw thrown;
      },
    );
    sent.catch(() => {}); // Whoever asks for the id hears of it.
    return sent;
  }
}
