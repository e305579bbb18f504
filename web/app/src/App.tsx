import { ChatClient, ConnectionLost, HttpApi, IndexedDbStorage, type User } from "chat-gateway-client";
import { lazy, Suspense, useCallback, useEffect, useState } from "react";
import { Chat } from "./Chat.tsx";
import type { Config } from "./config.ts";
import { ClientContext } from "./context.ts";
import { SignIn } from "./SignIn.tsx";
import { Button, Spinner } from "./ui/controls.tsx";

type Session =
  | { phase: "loading" }
  | { phase: "unreachable" }
  | { phase: "signed_out"; notice?: string }
  /** Without a client on the operator's page, which does not talk. */
  | { phase: "signed_in"; client: ChatClient | undefined };

const Admin = lazy(() => import("./admin/Admin.tsx"));
const SESSION_ENDED = "Your session has ended. Sign in to go on; what you wrote is kept on this device.";

/** Finds out who is here, and shows the chat or the way in. */
export function App({ config }: { config: Config }) {
  const [api] = useState(() => new HttpApi(config.api));
  const [session, setSession] = useState<Session>({ phase: "loading" });
  const [isOperation] = useState(() => location.pathname.endsWith("/admin"));

  const enter = useCallback(
    (_user: User) => {
      if (isOperation) {
        setSession({ phase: "signed_in", client: undefined });
        return;
      }
      const client = new ChatClient({ api, url: config.socket, storage: new IndexedDbStorage() });
      client.start();
      setSession({ phase: "signed_in", client });
    },
    [api, config, isOperation],
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
      return <Loading />;
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
      if (!session.client) {
        return (
          <Suspense fallback={<Loading />}>
            <Admin api={api} onEnded={() => setSession({ phase: "signed_out", notice: SESSION_ENDED })} />
          </Suspense>
        );
      }
      return (
        <ClientContext value={session.client}>
          <Chat onSignedOut={() => setSession({ phase: "signed_out" })} />
        </ClientContext>
      );
  }
}

function Loading() {
  return (
    <main className="whole-page">
      <Spinner label="Loading" />
    </main>
  );
}

function noticeOf(status: { why: string; message: string }): string {
  switch (status.why) {
    case "signed_out":
      return SESSION_ENDED;
    case "banned":
      return "This account is banned.";
    default:
      return `This page and the server do not understand each other. Reload the page. (${status.message})`;
  }
}
