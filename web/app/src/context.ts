/** The signed-in user's client, for every component below. */

import type { ChatClient } from "chat-gateway-client";
import { createContext, useContext } from "react";

export const ClientContext = createContext<ChatClient | undefined>(undefined);

export function useClient(): ChatClient {
  const client = useContext(ClientContext);
  if (!client) throw new Error("nobody is signed in");
  return client;
}
