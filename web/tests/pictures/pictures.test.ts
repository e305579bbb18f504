/** Renews the pictures of `docs/images`: `npm run pictures`. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { launch, Person } from "../browser/browser.ts";
import { Node } from "../browser/node.ts";

const PICTURES = join(import.meta.dirname, "..", "..", "..", "docs", "images");

test("the pictures of the manual", async () => {
  mkdirSync(PICTURES, { recursive: true });
  const node = await Node.create();
  const browser = await launch();
  try {
    await node.start();
    const [ada, bob, cleo] = await Promise.all(["Ada", "Bob", "Cleo"].map((name) => node.user(name)));
    await node.promote("Ada");
    if (!ada?.user || !bob?.user || !cleo?.user) throw new Error("nobody is there");
    const garden = await ada.createRoom("garden", "public");
    const lounge = await bob.createRoom("lounge", "public");
    const board = await ada.createRoom("board", "private");
    for (const api of [bob, cleo]) await api.join(garden.id);
    await ada.join(lounge.id);
    await ada.setRole(board.id, bob.user.id, "member");
    const direct = await bob.direct(ada.user.id);

    const people = await Promise.all(["Ada", "Bob", "Cleo"].map((name) => Person.open(browser, node, name)));
    const [first, second, third] = people as [Person, Person, Person];
    await first.page.goto(node.url);
    await first.page.getByLabel("Name").waitFor();
    await first.page.screenshot({ path: join(PICTURES, "sign-in.png") });
    for (const person of people) await person.signIn();
    for (const person of people) await person.openRoom(garden.id);
    await first.say("Good morning! The first tomatoes are **ripe**.");
    await second.see("tomatoes");
    await second.say("Already? Here they need two more weeks.");
    await second.say("> The first tomatoes\nWhich kind did you plant?");
    await third.see("Which kind");
    await third.say(
      "Mine too. My list for Saturday:\n- water the beds at `06:00`\n- repair the gate\n- see https://example.org/tomatoes",
    );
    await first.see("list for Saturday");
    await first.say("@Bob it is *Matina*, an early one. Shall I bring you some?");
    await second.see("Matina");
    await second.say("Yes, please! @Ada you are the best");
    await first.see("the best");
    await second.openRoom(lounge.id);
    await second.say("Coffee at four?");
    await second.openRoom(direct.id);
    await second.say("Do you have a minute, @Ada?");
    await second.openRoom(garden.id);
    await first.page.getByText("Direct messages").waitFor({ timeout: 30_000 });
    await first.page.waitForTimeout(3500); // the server tells of typing every three seconds
    await third.composer.pressSequentially("I ");
    await first.page.getByText("is typing").waitFor();
    await first.page.waitForTimeout(500);
    await first.page.screenshot({ path: join(PICTURES, "room.png") });
    await first.page.emulateMedia({ colorScheme: "dark" });
    await first.page.waitForTimeout(300);
    await first.page.screenshot({ path: join(PICTURES, "room-dark.png") });
    await first.page.setViewportSize({ width: 390, height: 780 });
    await first.page.waitForTimeout(300);
    await first.page.screenshot({ path: join(PICTURES, "phone.png") });
    await first.page.emulateMedia({ colorScheme: "light" });
    await first.page
      .getByRole("button", { name: "Back to rooms" })
      .click()
      .catch(() => undefined);
    await first.page.waitForTimeout(300);
    await first.page.screenshot({ path: join(PICTURES, "phone-rooms.png") });
    await first.page.setViewportSize({ width: 1200, height: 760 });
    await first.page.getByRole("button", { name: "Add a room" }).first().click();
    await first.page.waitForTimeout(500);
    await first.page.screenshot({ path: join(PICTURES, "add-room.png") });
    await first.page.keyboard.press("Escape");
    await drawOperation(first, second, garden.id);
    for (const person of people) for (const problem of person.problems) console.log(person.name, problem);
  } finally {
    await browser.close();
    await node.remove();
  }
});

/** The operator's page, with a minute of talk on its charts. */
async function drawOperation(admin: Person, speaker: Person, room: string): Promise<void> {
  await speaker.openRoom(room);
  await admin.page.setViewportSize({ width: 1200, height: 1000 });
  await admin.page.goto(`${admin.node.url}/admin`);
  await admin.page.getByRole("img", { name: /^Connections/ }).waitFor();
  for (let second = 0; second < 60; second++) {
    const lines = Math.round(3 + 2 * Math.sin(second / 8));
    for (let n = 0; n < lines; n++) await speaker.say(`Row ${second + 1}, plant ${n + 1}.`);
    await admin.page.waitForTimeout(800);
  }
  await admin.page.screenshot({ path: join(PICTURES, "operation.png") });
}
