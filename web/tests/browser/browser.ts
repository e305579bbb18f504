/** Debian's Chromium, and users who sit before it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import type { Cable } from "./cable.ts";
import { type Node, PASSWORD } from "./node.ts";
import { findChromium } from "./places.ts";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function launch(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("no Chromium in PATH");
  const home = mkdtempSync(join(tmpdir(), "chat-chromium-"));
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: FLAGS,
    env: { ...process.env, HOME: home },
  });
  browser.on("disconnected", () => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  return browser;
}

/** Somebody with a browser of their own: no cookie or store is shared. */
export class Person {
  readonly problems: string[] = [];

  private constructor(
    readonly name: string,
    readonly node: Pick<Node, "url">,
    readonly context: BrowserContext,
    readonly page: Page,
    /** Where they find the node. */
    readonly url: string,
    readonly cable: Cable | undefined,
  ) {}

  static async open(
    browser: Browser,
    node: Pick<Node, "url">,
    name: string,
    options: Parameters<Browser["newContext"]>[0] = {},
    cable?: Cable,
  ): Promise<Person> {
    const context = await browser.newContext({
      viewport: { width: 1200, height: 760 },
      locale: "en-GB",
      ...options,
    });
    const person = new Person(name, node, context, await context.newPage(), cable?.url ?? node.url, cable);
    person.page.setDefaultTimeout(60_000);
    person.page.on("pageerror", (error) => person.problems.push(String(error)));
    person.page.on("console", (message) => {
      // A node that is away is what some of the tests are about.
      if (message.type() === "error" && !/Failed to load|WebSocket connection/.test(message.text())) {
        person.problems.push(message.text());
      }
    });
    return person;
  }

  /** Signs in on the page, with an account that was made before. */
  async signIn(): Promise<void> {
    await this.page.goto(this.url);
    await this.page.getByLabel("Name").fill(this.name);
    await this.page.getByLabel("Password").fill(PASSWORD);
    await this.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await this.page.getByRole("navigation", { name: "Rooms" }).waitFor();
  }

  /** Opens a room by its address, and waits for its messages. */
  async openRoom(id: string): Promise<void> {
    await this.page.evaluate((hash) => {
      location.hash = hash;
    }, `#/room/${id}`);
    await this.messages.waitFor();
  }

  /** Their network is gone, and the device has noticed. */
  async goOffline(): Promise<void> {
    this.cable?.pull();
    await this.context.setOffline(true);
    await this.page.getByText("You are offline").waitFor();
  }

  async goOnline(): Promise<void> {
    this.cable?.plugIn();
    await this.context.setOffline(false);
  }

  /** Goes away for good. */
  async leave(): Promise<void> {
    await this.context.close();
    this.cable?.remove();
  }

  /** Comes back to the page from elsewhere. */
  async lookAgain(): Promise<void> {
    await this.page.evaluate(() => dispatchEvent(new Event("focus")));
  }

  get messages() {
    return this.page.getByRole("region", { name: "Messages" });
  }

  get composer() {
    return this.page.getByPlaceholder(/^Message to/);
  }

  async say(text: string): Promise<void> {
    await this.composer.fill(text);
    await this.composer.press("Enter");
  }

  message(text: string) {
    return this.messages.getByRole("article").filter({ hasText: text });
  }

  async see(text: string): Promise<void> {
    await this.message(text).first().waitFor();
  }

  /** The texts in view, from above to below. */
  async texts(): Promise<string[]> {
    return this.messages.locator(".rich-text").allInnerTexts();
  }
}
