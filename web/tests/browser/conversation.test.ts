import { expect, test } from "vitest";
import { withBrowser } from "./world.ts";

withBrowser("two people", (world) => {
  test("talk, edit, delete, and see each other type", async () => {
    const { ada, bob } = await world.two();
    await ada.say("Good **morning**");
    await bob.see("Good morning");
    await bob.say("Hello Ada");
    await ada.see("Hello Ada");

    await bob.composer.pressSequentially("and one more", { delay: 400 });
    await ada.page.getByText(`${bob.name} is typing`).waitFor();
    await bob.composer.fill("");

    await ada.composer.press("ArrowUp");
    const edit = ada.page.getByLabel("Edit the message");
    await edit.fill("Good evening");
    await edit.press("Enter");
    await bob.see("Good evening");
    expect(await bob.message("Good evening").getByText("edited").isVisible()).toBe(true);

    await ada.message("Good evening").hover();
    await ada.message("Good evening").getByRole("button", { name: "Delete" }).click();
    await ada.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await bob.see("This message was deleted.");
    await bob.page.getByText("Good evening").waitFor({ state: "detached" });
    expect(await bob.texts()).toEqual(["Hello Ada"]);
  });

  test("see who is here, and who has gone", async () => {
    const { ada, bob } = await world.two();
    await ada.page.getByText("2 online").waitFor();
    await ada.page.getByRole("complementary", { name: "Members" }).getByText(bob.name).waitFor();
    await bob.context.close();
    await ada.page.getByText("1 online").waitFor();
    await ada.page.getByRole("heading", { name: /Offline/ }).waitFor();
  });

  test("find what is unread, and what is for them by name", async () => {
    const { ada, bob, accounts } = await world.two();
    const elsewhere = await accounts[1].createRoom(world.name("elsewhere"), "public");
    await bob.page.getByRole("button", { name: elsewhere.name }).waitFor();
    await bob.openRoom(elsewhere.id);
    await ada.say("first");
    await ada.say(`second, @${bob.name}.`);
    const line = bob.page.getByRole("button", { name: /2 unread, mentions you/ });
    await line.waitFor();
    await bob.page.waitForFunction(() => document.title === "(2) Chat");
    await ada.see("second"); // and the server has it
    await bob.page.reload();
    await line.waitFor();
    await bob.page.waitForFunction(() => document.title === "(2) Chat");
    await line.click();
    await bob.see("second");
    await bob.messages.getByText("New", { exact: true }).waitFor();
    await bob.page.waitForFunction(() => document.title === "Chat");
    await bob.page.reload();
    await bob.see("second");
    expect(await bob.page.getByRole("button", { name: /unread/ }).count()).toBe(0);
  });

  test("meet: sign up, make a room, join it, write to each other", async () => {
    const [ada, bob] = await Promise.all(["New Ada", "Newbob"].map((like) => signUp(world.name(like))));
    if (!ada || !bob) throw new Error("nobody is there");
    const name = world.name("club ");
    await ada.page.getByRole("button", { name: "Find or make one" }).click();
    await ada.page.getByRole("radio", { name: "Make a room" }).check();
    await ada.page.getByRole("dialog").getByLabel("Name").fill(name);
    await ada.page.getByRole("button", { name: "Make the room" }).click();
    await ada.say("Welcome");
    await ada.see("Welcome");

    await bob.page.getByRole("button", { name: "Find or make one" }).click();
    await bob.page.getByRole("button", { name: `Join ${name}` }).click();
    await bob.see("Welcome");

    await bob.page.getByRole("button", { name: "Add a room" }).click();
    await bob.page.getByRole("radio", { name: "Write to somebody" }).check();
    await bob.page.getByRole("dialog").getByLabel("Name").fill(ada.name.toUpperCase());
    await bob.page.getByRole("button", { name: "Start writing" }).click();
    await bob.page.getByRole("heading", { level: 1, name: ada.name }).waitFor();
    await bob.say("Only for you");
    await ada.page.getByRole("button", { name: new RegExp(`${bob.name}.*1 unread`) }).click();
    await ada.see("Only for you");

    await bob.page.getByRole("button", { name: "Account" }).click();
    await bob.page.getByRole("menuitem", { name: "Sign out" }).click();
    await bob.page.getByRole("heading", { name: "Sign in" }).waitFor();
  });

  test("moderate: invite, remove, ban, and who is out is out at once", async () => {
    const [owner, guest] = [await world.account("Owner"), await world.account("Guest")];
    const room = await owner.createRoom(world.name("closed"), "private");
    const [ada, bob] = [await world.person(owner), await world.person(guest)];
    const bobs = bob.page.getByRole("button", { name: new RegExp(room.name) });
    await ada.openRoom(room.id);
    const invite = async () => {
      await ada.page.getByLabel("Invite by name").fill(bob.name);
      await ada.page.getByRole("button", { name: "Invite" }).click();
      await ada.page.getByText(`${bob.name} is in.`).waitFor();
    };
    const choose = async (action: string) => {
      await ada.page.getByRole("button", { name: `What to do about ${bob.name}` }).click();
      await ada.page.getByRole("menuitem", { name: action }).click();
    };
    await bob.page.getByText("You are in no room yet.").waitFor();
    await invite();
    await bobs.waitFor(); // nobody had to look again
    await choose("Remove from the room");
    await bobs.waitFor({ state: "detached" });
    await invite();
    await bobs.click();
    await ada.say("secret");
    await bob.see("secret");
    await choose("Ban from the room");
    await ada.page.getByRole("dialog").getByRole("button", { name: "Ban" }).click();
    await bob.page.getByRole("heading", { name: "This room is not here" }).waitFor();
    expect(await bob.page.getByText("secret").count()).toBe(0);
    await ada.page.getByRole("heading", { name: /Banned/ }).waitFor();
  });

  test("keep the menu of a member who goes and comes meanwhile", async () => {
    const { ada, bob, room } = await world.two();
    await ada.page.getByRole("heading", { name: "Online 2" }).waitFor();
    await ada.page.getByRole("button", { name: `What to do about ${bob.name}` }).click();
    const action = ada.page.getByRole("menuitem", { name: "Make moderator" });
    await action.waitFor();
    await bob.page.goto("about:blank");
    await ada.page.getByRole("heading", { name: "Offline 1" }).waitFor();
    await bob.page.goto(`${world.node.url}/#/room/${room}`);
    await ada.page.getByRole("heading", { name: "Online 2" }).waitFor();
    await action.click();
    await ada.page.getByText("Moderator", { exact: true }).waitFor();
    await bob.page.getByRole("complementary").getByText("Moderator", { exact: true }).waitFor();
  });

  test("complete a mention with the keyboard, and write in several lines", async () => {
    const { ada, bob } = await world.two();
    await ada.composer.pressSequentially(`Hi @${bob.name.slice(0, 3).toLowerCase()}`);
    await ada.page.getByRole("option", { name: `@${bob.name}` }).waitFor();
    await ada.composer.press("Enter");
    expect(await ada.composer.inputValue()).toBe(`Hi @${bob.name} `);
    await ada.composer.press("Shift+Enter");
    await ada.composer.pressSequentially("second line");
    await ada.composer.press("Enter");
    await bob.see("second line");
    expect(await bob.message("second line").locator(".mention-mine").textContent()).toBe(`@${bob.name}`);
    expect(await bob.message("second line").locator("br").count()).toBe(1);
  });

  test("mention somebody whose name has two words", async () => {
    const [first, second] = [await world.account("Ada"), await world.account("Mary Ann")];
    const room = await first.createRoom(world.name("names"), "public");
    await second.join(room.id);
    const [ada, mary] = [await world.person(first), await world.person(second)];
    await ada.openRoom(room.id);
    await ada.composer.pressSequentially("Dear @mary");
    await ada.page.getByRole("option", { name: `@${mary.name}` }).waitFor();
    await ada.composer.press("Enter");
    expect(await ada.composer.inputValue()).toBe(`Dear @[${mary.name}] `);
    await ada.composer.press("Enter");
    const line = mary.page.getByRole("button", { name: /1 unread, mentions you/ });
    await line.waitFor();
    await mary.page.reload();
    await line.click();
    await mary.see("Dear");
    expect(await mary.message("Dear").locator(".mention-mine").textContent()).toBe(`@${mary.name}`);
  });

  async function signUp(name: string) {
    const { Person } = await import("./browser.ts");
    const person = await Person.open(world.browser, world.node, name);
    world.people.push(person);
    await person.page.goto(world.node.url);
    await person.page.getByRole("button", { name: "Create an account" }).click();
    await person.page.getByLabel("Name").fill(name);
    await person.page.getByLabel("Password").fill("correct horse");
    await person.page.getByRole("button", { name: "Create account" }).click();
    await person.page.getByRole("navigation", { name: "Rooms" }).waitFor();
    return person;
  }
});
