import { ConnectionLost, type HttpApi, Refused, type User } from "chat-gateway-client";
import { type FormEvent, useState } from "react";
import { Button, Field, Problem } from "./ui/controls.tsx";

interface Props {
  api: HttpApi;
  /** Why the reader is here again. */
  notice: string | undefined;
  onSignedIn: (user: User) => void;
}

const MIN_PASSWORD = 8;
const MAX_NAME = 32;

export function SignIn({ api, notice, onSignedIn }: Props) {
  const [isNew, setNew] = useState(false);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      if (isNew) await api.register(name, password);
      onSignedIn(await api.signIn(name, password));
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  };

  return (
    <main className="sign-in">
      <form className="card" onSubmit={submit} aria-labelledby="sign-in-title">
        <img src="favicon.svg" alt="" width="40" height="40" />
        <h1 id="sign-in-title">{isNew ? "Create an account" : "Sign in"}</h1>
        {notice && (
          <p className="notice" role="status">
            {notice}
          </p>
        )}
        <Field
          label="Name"
          name="username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          maxLength={MAX_NAME}
          value={name}
          hint={isNew ? "Others see it. You cannot change it later." : undefined}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label="Password"
          name="password"
          type="password"
          autoComplete={isNew ? "new-password" : "current-password"}
          required
          minLength={MIN_PASSWORD}
          value={password}
          hint={isNew ? `At least ${MIN_PASSWORD} characters.` : undefined}
          onChange={(event) => setPassword(event.target.value)}
        />
        {problem && <Problem>{problem}</Problem>}
        <Button look="primary" type="submit" disabled={isBusy}>
          {isNew ? "Create account" : "Sign in"}
        </Button>
        <p className="sign-in-other">
          {isNew ? "You have an account?" : "New here?"}{" "}
          <button
            type="button"
            className="link"
            onClick={() => {
              setNew(!isNew);
              setProblem(undefined);
            }}
          >
            {isNew ? "Sign in" : "Create an account"}
          </button>
        </p>
      </form>
    </main>
  );
}

/** A refusal in words that say what to do. */
export function explain(error: unknown): string {
  if (error instanceof ConnectionLost)
    return "The server cannot be reached. Check your network and try again.";
  if (!(error instanceof Refused)) return "Something went wrong. Try again.";
  if (error.code === "rate_limited") {
    const seconds = Math.ceil((error.retryAfterMs ?? 1000) / 1000);
    return `Too many tries. Try again in ${seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} s`}.`;
  }
  const text = error.message;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
