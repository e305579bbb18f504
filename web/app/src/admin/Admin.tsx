import type { HttpApi } from "chat-gateway-client";
import { useEffect, useState } from "react";
import { duration } from "../format.ts";
import { Button, Spinner } from "../ui/controls.tsx";
import { ThemeButton } from "../ui/ThemeButton.tsx";
import { AdminApi } from "./api.ts";
import { Figures } from "./Figures.tsx";
import { Nodes } from "./Nodes.tsx";
import { Rooms } from "./Rooms.tsx";
import { Users } from "./Users.tsx";
import { useOverview } from "./useOverview.ts";
import "./admin.css";

interface Props {
  api: HttpApi;
  /** The session is over. */
  onEnded: () => void;
}

/** The operator's page; a file of its own, so that nobody else loads it. */
export default function Admin({ api, onEnded }: Props) {
  const [isAllowed, setAllowed] = useState(api.user?.admin === true);
  useEffect(() => {
    document.title = "Operation – Chat";
  }, []);
  if (!isAllowed) return <NotForYou name={api.user?.name ?? ""} api={api} onEnded={onEnded} />;
  return <Operation api={api} onEnded={onEnded} onForbidden={() => setAllowed(false)} />;
}

function Operation({ api, onEnded, onForbidden }: Props & { onForbidden: () => void }) {
  const [admin] = useState(() => new AdminApi(api));
  const { samples, overview, isSilent } = useOverview(admin, ({ code }) => {
    if (code === "unauthenticated") onEnded();
    else if (code === "forbidden" || code === "not_found") onForbidden();
  });
  return (
    <div className="admin">
      <header className="admin-head">
        <h1>Operation</h1>
        {overview && (
          <p>
            {overview.node} · version {overview.version} · up for {duration(overview.uptime_seconds)}
          </p>
        )}
        <a className="button" href="./">
          To the chat
        </a>
        <ThemeButton />
      </header>
      <main className="admin-main">
        <p className="notice" role="status" hidden={!isSilent || samples.length < 2}>
          {isSilent && "The node does not answer at the moment. This page goes on trying."}
        </p>
        {overview ? (
          <>
            <Figures samples={samples} />
            <Nodes nodes={overview.nodes} answering={overview.node} />
          </>
        ) : (
          <Spinner label="Loading figures" />
        )}
        <div className="panels">
          <Users api={admin} self={api.user?.id ?? ""} />
          <Rooms api={admin} />
        </div>
      </main>
    </div>
  );
}

function NotForYou({ name, api, onEnded }: Props & { name: string }) {
  return (
    <main className="whole-page">
      <h1>This page is for operators</h1>
      <p>You are signed in as {name}, who is not one of them.</p>
      <a className="button button-primary" href="./">
        Back to the chat
      </a>
      <Button onClick={() => void api.signOut().then(onEnded, onEnded)}>Sign in as somebody else</Button>
    </main>
  );
}
