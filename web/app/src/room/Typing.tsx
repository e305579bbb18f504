/** Who is writing. The line is always there, so that nothing jumps. */
export function Typing({ names }: { names: ReadonlyMap<string, string> }) {
  return (
    <p className="typing" aria-live="polite">
      {names.size > 0 && (
        <>
          <span className="typing-dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          {sentence([...names.values()])}
        </>
      )}
    </p>
  );
}

function sentence(names: string[]): string {
  const [first, second] = names;
  if (names.length === 1) return `${first} is typing…`;
  if (names.length === 2) return `${first} and ${second} are typing…`;
  return "Several people are typing…";
}
