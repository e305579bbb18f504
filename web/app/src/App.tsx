import { ChatClient, ConnectionLost, HttpApi, IndexedDbStorage, type User } from "chat-gateway-client";
import { useCallback, useEffect, useState } from "react";
import { Chat } from "./Chat.tsx";
import type { Config } from "./config.ts";
import { ClientContext } from "./context.ts";
import { SignIn } from "./SignIn.tsx";
import { Button, Spinner } from "./ui/controls.tsx";

type Session =
  | { phase: "loading" }
  | { phase: "unreachable" }
  | { phase: "signed_out"; notice?: string }
  | { phase: "signed_in"; client: ChatClient };

/** Finds out who is here, and shows the chat or the way in. */
export function App({ config }: { config: Config }) {
  const [api] = useState(() => new HttpApi(config.api));
  const [session, setSession] = useState<Session>({ phase: "loading" });

  const enter = useCallback(
    (_user: User) => {
      const client = new ChatClient({ api, url: config.socket, storage: new IndexedDbStorage() });
      client.start();
      setSession({ phase: "signed_in", client });
    },
    [api, config],
  );

  const resume = useCallback(async () => {
    setSession({ phase: "loading" });
    try {
      await api.token(true);
      enter(api.user as User);
    } catch (error) {
      setSession({ phase: error instanceof ConnectionLost ? "unreachable" : "signed_out" });
    }
  }, [api, enter]);

  useEffect(() => {
    void resume();
  }, [resume]);

  const client = session.phase === "signed_in" ? session.client : undefined;
  useEffect(() => {
    if (!client) return;
    return client.subscribe(() => {
      const { status } = client.state;
      if (status.phase === "ended") setSession({ phase: "signed_out", notice: noticeOf(status) });
    });
  }, [client]);

  switch (session.phase) {
    case "loading":
      return (
        <main className="whole-page">
          <Spinner label="Loading" />
        </main>
      );
    case "unreachable":
      return (
        <main className="whole-page">
          <h1>The server cannot be reached</h1>
          <p>Check your network. What you wrote is kept on this device.</p>
          <Button look="primary" onClick={() => void resume()}>
            Try again
          </Button>
        </main>
      );
    case "signed_out":
      return <SignIn api={api} notice={session.notice} onSignedIn={enter} />;
    case "signed_in":
      return (
        <ClientContext value={session.client}>
          <Chat onSignedOut={() => setSession({ phase: "signed_out" })} />
        </ClientContext>
      );
  }
}

function noticeOf(status: { why: string; message: string }): string {
  switch (status.why) {
    case "signed_out":
      return "Your session has ended. Sign in to go on; what you wrote is kept on this device.";
    case "banned":
      return "This account is banned.";
    default:
      return `This page and the server do not understand each other. Reload the page. (${status.message})`;
  }
}
