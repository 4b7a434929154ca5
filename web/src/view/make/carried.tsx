// What was taken over from a clip and has no field in the form: named, and left out on request.
import { carriedFields, leaveOut } from "../../state/carried";
import { text } from "../../text";

export function Carried() {
  const t = text.value;
  const fields = carriedFields.value;
  if (fields.length === 0) return null;
  return (
    <div class="note" role="status">
      <p>{t.carried(fields.map((field) => t.carriedAre[field]).join(", "))}</p>
      <button type="button" onClick={leaveOut}>
        {t.carriedLeave}
      </button>
    </div>
  );
}
