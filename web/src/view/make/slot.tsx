// A place for a picture: empty and waiting for one, or with its crop and how far its upload is.
import { useId, useState } from "preact/hooks";
import { partShown, shareCut, stretches } from "../../media/crop";
import { filesOf, take, untaken, type Place } from "../../state/choose";
import { end, height, model, put, start, width } from "../../state/form";
import { node } from "../../state/node";
import type { Picture } from "../../state/picture";
import { percent, text } from "../../text";
import { ProblemText } from "../problem";
import { Crop } from "./crop";

export function Slot(props: { place: Place; label: string }) {
  const t = text.value;
  const { place, label } = props;
  const picture = (place === "start" ? start : end).value;
  const why = untaken.value[place];
  const [over, setOver] = useState(false);
  const limit = t.units.bytes(node.value?.limits?.imageBytes ?? 33554432);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    const files = filesOf(event.dataTransfer);
    void take(files, files.length > 1 ? undefined : place);
  };
  return (
    <section
      class={`slot${over ? " over" : ""}${picture ? " full" : ""}`}
      aria-label={label}
      onDragEnter={() => setOver(true)}
      onDragOver={(event) => (event.preventDefault(), setOver(true))}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <div class="slot-head">
        <h2>{label}</h2>
        {picture && (
          <span class="slot-actions">
            <Choose place={place} label={`${t.replace}: ${label}`} word={t.replace} />
            <button type="button" aria-label={`${t.remove}: ${label}`} onClick={() => put(place, undefined)}>
              {t.remove}
            </button>
          </span>
        )}
      </div>
      {picture ? (
        <Shown picture={picture} />
      ) : (
        <div class="slot-empty">
          <p>{t.dropHere}</p>
          <Choose place={place} label={`${t.choose}: ${label}`} word={t.choose} />
          <p class="hint">{t.fileKinds(limit)}</p>
        </div>
      )}
      {why && (
        <p class="wrong" role="alert">
          {why}
        </p>
      )}
    </section>
  );
}

/** A button that opens the browser's choice of files. */
function Choose(props: { place: Place; label: string; word: string }) {
  const id = useId();
  const chosen = (event: Event) => {
    const field = event.currentTarget as HTMLInputElement;
    void take([...(field.files ?? [])], props.place);
    field.value = "";
  };
  return (
    <span class="choose">
      <input id={id} class="unseen" type="file" accept="image/png,image/jpeg,image/webp" aria-label={props.label} onChange={chosen} />
      <label for={id} aria-hidden="true" class="button">
        {props.word}
      </label>
    </span>
  );
}

function Shown(props: { picture: Picture }) {
  const t = text.value;
  const { picture } = props;
  const clip = { width: width.value, height: height.value };
  const stretched = stretches(model.value?.family ?? "");
  const part = partShown(picture.bitmap, clip, stretched);
  const cut = shareCut(picture.bitmap, part);
  const told = stretched ? t.cropStretch : cut < 0.001 ? t.cropWhole : t.cropCut(percent(cut));
  return (
    <>
      <Crop picture={picture} part={part} label={t.cropAlt(picture.name, clip.width, clip.height)} />
      <p class="slot-name">
        <span class="name">{picture.name}</span>
        <span>
          {picture.bitmap.width} × {picture.bitmap.height}
        </span>
      </p>
      <p class="hint">{told}</p>
      <UploadState picture={picture} />
    </>
  );
}

function UploadState(props: { picture: Picture }) {
  const t = text.value;
  const state = props.picture.upload.value;
  if (state.is === "there") return <p class="hint upload">✓ {t.uploaded}</p>;
  if (state.is === "refused") {
    return (
      <div class="wrong" role="alert">
        <p>{t.uploadRefused}</p>
        <ProblemText problem={state.problem} />
      </div>
    );
  }
  return (
    <div class="upload">
      <progress max={1} value={state.share} aria-label={t.uploading(percent(state.share))} />
      <p class="hint">{state.waiting ? t.uploadWaits : t.uploading(percent(state.share))}</p>
    </div>
  );
}
