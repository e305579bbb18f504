/** One node and one browser for the tests of a file. */

import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HttpApi } from "chat-gateway-client";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, inject } from "vitest";
import { launch, Person } from "./browser.ts";
import { Cable } from "./cable.ts";
import { Node } from "./node.ts";

type Options = Parameters<typeof Person.open>[3];

export class World {
  node!: Node;
  browser!: Browser;
  readonly people: Person[] = [];
  #names = 0;

  /** A name that nobody has. */
  name(like: string): string {
    this.#names += 1;
    return `${like}${this.#names}`;
  }

  /** A new account, and nobody before a screen. */
  account(like: string): Promise<HttpApi> {
    return this.node.user(this.name(like));
  }

  /** Somebody who has signed in on a browser of their own. */
  async person(account: HttpApi, options: Options = {}, cable?: Cable): Promise<Person> {
    const person = await Person.open(this.browser, this.node, account.user?.name ?? "", options, cable);
    this.people.push(person);
    await person.signIn();
    return person;
  }

  /** Two people in a new room, both looking at it; with cables that can be pulled if that is wanted. */
  async two(
    hasCables = false,
  ): Promise<{ ada: Person; bob: Person; room: string; accounts: [HttpApi, HttpApi] }> {
    const accounts = [await this.account("Ada"), await this.account("Bob")] as [HttpApi, HttpApi];
    const [first, second] = accounts;
    const room = await first.createRoom(this.name("room"), "public");
    await second.join(room.id);
    const [ada, bob] = await Promise.all(
      accounts.map(async (account) =>
        this.person(account, {}, hasCables ? await Cable.to(this.node.url) : undefined),
      ),
    );
    if (!ada || !bob) throw new Error("nobody is there");
    await Promise.all([ada.openRoom(room.id), bob.openRoom(room.id)]);
    return { ada, bob, room: room.id, accounts };
  }
}

/** `describe` for tests with a browser; skipped where there is none. Nobody's console may hold an error. */
export function withBrowser(title: string, tests: (world: World) => void): void {
  describe.skipIf(inject("missing") !== "")(title, () => {
    const world = new World();

    beforeAll(async () => {
      world.node = await Node.create();
      [world.browser] = await Promise.all([launch(), world.node.start()]);
    });

    afterAll(async () => {
      await world.browser?.close();
      await world.node?.remove();
    });

    afterEach(async ({ task }) => {
      if (task.result?.state === "fail") {
        for (const { name, page } of world.people)
          await page.screenshot({ path: join(tmpdir(), `chat-web-${name}.png`) });
      }
      const problems = world.people.flatMap((person) => person.problems);
      for (const person of world.people.splice(0)) await person.leave();
      expect(problems).toEqual([]);
    });

    tests(world);
  });
}
