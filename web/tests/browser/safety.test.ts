import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { violations } from "./axe.ts";
import { withBrowser } from "./world.ts";

const CORPUS: string[] = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../app/tests/xss.json"), "utf8"),
);

withBrowser("the page", (world) => {
  test("shows what attackers write as text, in messages, names and titles", async () => {
    const attacker = await world.node.user("<img src=x onerror=1>");
    const victim = await world.account("Victim");
    const room = await attacker.createRoom("<script>window.hacked=1</script>", "public");
    await victim.join(room.id);
    const [mallory, ada] = [await world.person(attacker), await world.person(victim)];
    await ada.openRoom(room.id);
    await mallory.openRoom(room.id);
    for (const text of CORPUS) {
      await mallory.composer.fill(text.replaceAll("\u0000", ""));
      await mallory.composer.press("Enter");
    }
    await mallory.say("the end");
    await ada.see("the end");
    const found = await ada.page.evaluate(() => ({
      hacked: "hacked" in window,
      foreign: document.querySelectorAll(
        ".message-main :is(script, img, iframe, svg:not(.icon), style, form, base)",
      ).length,
      links: [...document.querySelectorAll<HTMLAnchorElement>(".rich-text a")].map(
        ({ protocol }) => protocol,
      ),
      title: document.querySelector(".room-name h1")?.textContent,
    }));
    expect(found).toMatchObject({ hacked: false, foreign: 0, title: "<script>window.hacked=1</script>" });
    expect(found.links.every((protocol) => protocol === "https:")).toBe(true);
  });

  test("runs under a strict policy, with trusted types", async () => {
    const person = await world.person(await world.account("Ada"));
    const answer = await fetch(world.node.url, { headers: { "Accept-Encoding": "br" } });
    expect(answer.headers.get("content-security-policy")).toMatch(/script-src 'self';.*trusted-types 'none'/);
    expect(answer.headers.get("content-encoding")).toBe("br");
    const refused = await person.page.evaluate(() => {
      try {
        document.body.insertAdjacentHTML("beforeend", "<b>x</b>");
        return false;
      } catch {
        return true;
      }
    });
    expect(refused).toBe(true);
    person.problems.length = 0; // the attempt above is told on the console
  });

  test.each(["light", "dark"] as const)("has nothing that axe objects to (%s)", async (colorScheme) => {
    const [account, other] = [await world.account("Ada"), await world.account("Bob")];
    const room = await account.createRoom(world.name("axe"), "public");
    await other.join(room.id);
    const [ada, bob] = [await world.person(account, { colorScheme }), await world.person(other)];
    await Promise.all([ada.openRoom(room.id), bob.openRoom(room.id)]);
    await bob.say(`@${ada.name} **look**: \`code\`, https://example.org\n> quoted\n\n- item`);
    await ada.say("Mine");
    await bob.see("Mine");
    expect(await violations(ada.page)).toEqual([]);
    await ada.page.getByRole("button", { name: "Search in this room" }).click();
    await ada.page.getByRole("searchbox").fill("look");
    await ada.page.getByText("1 of 1").waitFor();
    expect(await violations(ada.page)).toEqual([]);
    await ada.page.getByRole("button", { name: "Add a room" }).click();
    await ada.page.getByRole("dialog").getByText("Open").first().waitFor();
    expect(await violations(ada.page)).toEqual([]);
    await ada.page.keyboard.press("Escape");
    await ada.page.getByRole("button", { name: "Account" }).click();
    expect(await violations(ada.page)).toEqual([]);
    await ada.page.getByRole("menuitem", { name: "Sign out" }).click();
    await ada.page.getByRole("heading", { name: "Sign in" }).waitFor();
    expect(await violations(ada.page)).toEqual([]);
  });

  test("fits a phone: rooms, then a room, then back", async () => {
    const account = await world.account("Ada");
    const room = await account.createRoom(world.name("phone"), "public");
    const options = { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true };
    const ada = await world.person(account, options);
    await ada.page.getByRole("button", { name: room.name }).tap();
    await ada.composer.fill("from the phone\nin two lines");
    await ada.page.getByRole("button", { name: "Send" }).tap();
    await ada.see("from the phone");
    const overflow = await ada.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow).toBe(0);
    expect(await violations(ada.page)).toEqual([]);
    await ada.page.getByRole("button", { name: "Members" }).tap();
    await ada.page.getByRole("button", { name: "Close members" }).tap();
    await ada.page.getByRole("button", { name: "Back to rooms" }).tap();
    await ada.page.getByRole("button", { name: room.name }).waitFor();
  });
});
