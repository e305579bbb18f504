import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { launch, Person } from "./browser.ts";
import { signUp } from "./node.ts";
import { hasServers } from "./places.ts";
import { TwoNodes } from "./two_nodes.ts";

describe.skipIf(inject("missing") !== "" || !hasServers())("the page of one node of two", () => {
  let nodes: TwoNodes;
  let browser: Browser;

  beforeAll(async () => {
    [nodes, browser] = await Promise.all([TwoNodes.start(), launch()]);
  });

  afterAll(async () => {
    await browser?.close();
    await nodes?.remove();
  });

  test("has its socket at the other, where it is nearer, and comes home when that is gone", async () => {
    const { a, b } = nodes.urls;
    await expect.poll(() => policyOf(a), { timeout: 60_000 }).toContain(socketOf(b)); // they know each other
    const [owner, guest] = [await signUp(a, "Ada"), await signUp(a, "Bob")];
    const room = await owner.createRoom("room", "public");
    await guest.join(room.id);
    const [ada, bob] = [await personIn("b", "Ada"), await personIn("a", "Bob")];
    for (const { person } of [ada, bob]) {
      await person.signIn();
      await person.openRoom(room.id);
    }
    await ada.person.say("from b");
    await bob.person.see("from b");
    expect([ada.sockets, bob.sockets]).toEqual([[socketOf(b)], [socketOf(a)]]);

    nodes.kill("b");
    await bob.person.say("meanwhile");
    await ada.person.see("meanwhile");
    await ada.person.say("from home");
    await bob.person.see("from home");
    expect(ada.sockets).toEqual([b, b, b, a].map(socketOf)); // nobody has missed the dead node yet
    expect([...ada.person.problems, ...bob.person.problems]).toEqual([]);
  });

  /** Somebody with the page of `a`, whom a proxy knows to be in a region; and the sockets that their page opens. */
  async function personIn(region: string, name: string): Promise<{ person: Person; sockets: string[] }> {
    const options = { extraHTTPHeaders: { "X-Region": region } };
    const person = await Person.open(browser, { url: nodes.urls.a }, name, options);
    const sockets: string[] = [];
    person.page.on("websocket", (socket) => sockets.push(socket.url()));
    return { person, sockets };
  }
});

const socketOf = (url: string) => `${url.replace("http", "ws")}/ws`;

async function policyOf(url: string): Promise<string> {
  return (await fetch(url)).headers.get("content-security-policy") ?? "";
}
