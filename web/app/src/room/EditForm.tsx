import { useEffect, useRef, useState } from "react";
import { explain } from "../SignIn.tsx";
import { Button, Problem } from "../ui/controls.tsx";
import { rowsFor } from "./Composer.tsx";

interface Props {
  text: string;
  onSave: (text: string) => Promise<void>;
  onDone: () => void;
}

/** Changes a message in its place. Enter saves, Escape leaves it as it was. */
export function EditForm({ text, onSave, onDone }: Props) {
  const [draft, setDraft] = useState(text);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const { current } = field;
    current?.focus();
    current?.setSelectionRange(current.value.length, current.value.length);
  }, []);

  const save = async () => {
    if (draft.trim() === "" || draft === text) {
      onDone();
      return;
    }
    setBusy(true);
    try {
      await onSave(draft);
      onDone();
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  };

  return (
    <form
      className="edit"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <textarea
        ref={field}
        aria-label="Edit the message"
        rows={rowsFor(draft)}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onDone();
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            void save();
          }
        }}
      />
      {problem && <Problem>{problem}</Problem>}
      <div className="edit-actions">
        <Button onClick={onDone}>Cancel</Button>
        <Button look="primary" type="submit" disabled={isBusy}>
          Save
        </Button>
      </div>
    </form>
  );
}
