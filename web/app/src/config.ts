/** Where the node is: beside the page, or where `config.json` says. */

export interface Config {
  /** Base of `/api`, without a slash at the end. */
  api: string;
  /** Address of the WebSocket. */
  socket: string;
}

/** The page works without the file, too: then everything is on its own origin. */
export async function loadConfig(): Promise<Config> {
  const told: Partial<Config> = await fetch("config.json")
    .then((answer) => (answer.ok ? answer.json() : {}))
    .catch(() => ({}));
  const api = (told.api || location.origin).replace(/\/+$/, "");
  return { api, socket: told.socket || `${api.replace(/^http/, "ws")}/ws` };
}
