import { expect, test } from "vitest";
import { withBrowser } from "./world.ts";

/** How long somebody is without a network: a minute, or what is enough to see the same in less time. */
const OFFLINE_MS = Number(process.env.OFFLINE_SECONDS ?? 6) * 1000;

withBrowser("when something breaks", (world) => {
  test("a node that is killed and comes back loses nothing and doubles nothing", async () => {
    const { ada, bob } = await world.two();
    await ada.say("before");
    await bob.see("before");
    await world.node.kill();
    for (const text of ["while away 1", "while away 2", "while away 3"]) await ada.say(text);
    await ada.composer.fill("half a thought");
    await bob.say("from Bob");
    expect(await ada.message("while away 2").getByText("sending…").isVisible()).toBe(true);
    await ada.page.getByText(/Reconnecting in \d+ s|Connecting…/).waitFor();
    await world.node.start();
    await ada.see("from Bob");
    await bob.see("while away 3");
    for (const person of [ada, bob]) {
      await person.page.getByText("sending…").first().waitFor({ state: "detached" });
      const texts = await person.texts();
      expect(texts.filter((text) => text.startsWith("while away"))).toEqual([
        "while away 1",
        "while away 2",
        "while away 3",
      ]);
      expect([...texts].sort()).toEqual([...new Set(texts)].sort());
      expect(texts).toHaveLength(5);
    }
    expect(await ada.composer.inputValue()).toBe("half a thought");
    await ada.say("and on it goes");
    await bob.see("and on it goes");
  });

  test("what is written without a network is sent later, in order, also after a reload", {
    timeout: 240_000 + OFFLINE_MS,
  }, async () => {
    const { ada, bob, room } = await world.two(true);
    await ada.goOffline();
    for (const text of ["offline 1", "offline 2", "offline 3"]) {
      await ada.say(text);
      await ada.page.waitForTimeout(OFFLINE_MS / 3);
    }
    expect(await ada.message("offline 3").getByText("sending…").isVisible()).toBe(true);
    await bob.say("meanwhile");
    await bob.see("meanwhile");
    expect(await bob.message("offline 1").count()).toBe(0);
    await ada.goOnline();
    await bob.see("offline 3");
    await ada.see("meanwhile");
    const expected = ["meanwhile", "offline 1", "offline 2", "offline 3"];
    expect(await bob.texts()).toEqual(expected);

    // The page goes while the node is away: what was not sent waits in the browser's database.
    await world.node.kill();
    await ada.say("kept over the reload");
    await ada.composer.fill("a draft");
    await ada.page.reload().catch(() => undefined);
    await world.node.start();
    await ada.page.goto(`${ada.url}/#/room/${room}`);
    await bob.see("kept over the reload");
    await ada.see("kept over the reload");
    expect(await ada.texts()).toEqual([...expected, "kept over the reload"]);
    expect(await ada.composer.inputValue()).toBe("a draft");
  });

  test("edits and deletions that were missed are seen after coming back", async () => {
    const { ada, bob } = await world.two(true);
    for (const text of ["one", "two", "three"]) await ada.say(text);
    await bob.see("three");
    await bob.goOffline();
    await ada.composer.press("ArrowUp");
    await ada.page.getByLabel("Edit the message").fill("three, edited");
    await ada.page.getByLabel("Edit the message").press("Enter");
    await ada.message("one").hover();
    await ada.message("one").getByRole("button", { name: "Delete" }).click();
    await ada.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await ada.see("This message was deleted.");
    await bob.goOnline();
    await bob.see("three, edited");
    await bob.see("This message was deleted.");
    expect(await bob.texts()).toEqual(["two", "three, edited"]);
  });

  test("a session that was ended elsewhere leads to the sign-in page", async () => {
    const account = await world.account("Ada");
    const person = await world.person(account);
    const token = await person.page.evaluate(async () => {
      const answer = await fetch("/api/token", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: "{}",
      });
      return (await answer.json()).access_token as string;
    });
    await fetch(`${world.node.url}/api/logout`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
    });
    await person.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await person.page.getByText("Your session has ended").waitFor();
  });
});
