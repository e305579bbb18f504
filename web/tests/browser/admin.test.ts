import type { HttpApi } from "chat-gateway-client";
import { expect, test } from "vitest";
import { violations } from "./axe.ts";
import { withBrowser } from "./world.ts";

withBrowser("the operator's page", (world) => {
  test("shows the node at work, and ends what must end", async () => {
    const [boss, guest] = [await admin(), await world.account("Guest")];
    const room = await boss.createRoom(world.name("hall"), "private");
    await boss.setRole(room.id, guest.user?.id ?? "", "member");
    const [ada, bob] = [await world.person(boss), await world.person(guest)];
    await bob.openRoom(room.id);

    await ada.page.getByRole("button", { name: "Account" }).click();
    await ada.page.getByRole("menuitem", { name: "Operation" }).click();
    await ada.page.getByRole("heading", { name: "Operation", level: 1 }).waitFor();
    await ada.page.getByRole("img", { name: /^Connections .*: 1, / }).waitFor(); // Bob's: this page has none
    for (let n = 1; n <= 5; n++) await bob.say(`line ${n}`);
    await ada.page.getByRole("img", { name: /^Messages a second .*at most (?!0)/ }).waitFor();
    await ada.page.getByRole("img", { name: /^Deliveries a second .*at most (?!0)/ }).waitFor();

    const rooms = ada.page.getByRole("region", { name: "Rooms" });
    await rooms.getByLabel("Name begins with").fill(room.name.slice(0, 3).toUpperCase());
    const line = rooms.getByRole("row", { name: new RegExp(`^${room.name} 1 5`) });
    await line.waitFor();
    await line.getByRole("button").click();
    await ada.page.getByRole("button", { name: `Remove ${bob.name}` }).click();
    await bob.page.getByRole("heading", { name: "This room is not here" }).waitFor();
    await ada.page.getByRole("button", { name: `Remove ${bob.name}` }).waitFor({ state: "detached" });
    await ada.page.keyboard.press("Escape");

    const users = ada.page.getByRole("region", { name: "Users" });
    await users.getByLabel("Name begins with").fill(bob.name.toLowerCase());
    const choose = async (action: string) => {
      await users.getByRole("button", { name: `What to do about ${bob.name}` }).click();
      await ada.page.getByRole("menuitem", { name: action }).click();
    };
    await choose("End all sessions");
    await bob.page.getByText("Your session has ended").waitFor();
    await bob.signIn();
    await choose("Ban the account");
    await ada.page.getByRole("dialog").getByRole("button", { name: "Ban" }).click();
    await users.getByText("banned").waitFor();
    await bob.page.getByText("This account is banned.").waitFor();
    await choose("Lift the ban");
    await users.getByText("banned").waitFor({ state: "detached" });
    await bob.signIn();
  });

  test("goes on by itself when the node was away", async () => {
    const ada = await world.person(await admin());
    await ada.page.goto(`${world.node.url}/admin`);
    await ada.page.getByRole("img", { name: /^Connections/ }).waitFor();
    await world.node.kill();
    await ada.page.getByText("The node does not answer").waitFor();
    await world.node.start();
    await ada.page.getByText("The node does not answer").waitFor({ state: "hidden" });
  });

  test("is for nobody else, and shows the way back", async () => {
    const ada = await world.person(await world.account("Ada"));
    await ada.page.getByRole("button", { name: "Account" }).click();
    await ada.page.getByRole("menuitem", { name: "Sign out" }).waitFor();
    expect(await ada.page.getByRole("menuitem", { name: "Operation" }).count()).toBe(0);
    await ada.page.goto(`${world.node.url}/admin`);
    await ada.page.getByRole("heading", { name: "This page is for operators" }).waitFor();
    expect(await violations(ada.page)).toEqual([]);
    await ada.page.getByRole("link", { name: "Back to the chat" }).click();
    await ada.page.getByRole("navigation", { name: "Rooms" }).waitFor();
    await ada.context.clearCookies();
    await ada.page.goto(`${world.node.url}/admin`);
    await ada.page.getByRole("heading", { name: "Sign in" }).waitFor();
  });

  test.each([
    ["light", { width: 1200, height: 760 }],
    ["dark", { width: 360, height: 640 }],
  ] as const)("has nothing that axe objects to (%s, %o)", async (colorScheme, viewport) => {
    const boss = await admin();
    const room = await boss.createRoom(world.name("hall"), "public");
    const ada = await world.person(boss, { colorScheme, viewport });
    await ada.page.goto(`${world.node.url}/admin`);
    await ada.page.getByRole("img", { name: /^Connections/ }).waitFor();
    await ada.page.getByRole("button", { name: `Members of ${room.name}` }).waitFor();
    await ada.page.getByRole("row", { name: new RegExp(ada.name) }).waitFor();
    expect(await violations(ada.page)).toEqual([]);
    expect(await ada.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
    await ada.page.getByRole("button", { name: `Members of ${room.name}` }).click();
    await ada.page.getByRole("dialog").getByText(ada.name).waitFor();
    expect(await violations(ada.page)).toEqual([]);
  });

  let boss: HttpApi | undefined;

  /** An account that may do everything; the same for all tests, since the node starts anew for it. */
  async function admin(): Promise<HttpApi> {
    if (boss) return boss;
    boss = await world.account("Boss");
    await world.node.promote(boss.user?.name ?? "");
    return boss;
  }
});
