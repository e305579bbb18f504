/** The operator's page against an API in memory. */

import { HttpApi } from "chat-gateway-client";
import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import Admin from "../src/admin/Admin.tsx";

let root: Root;
let container: HTMLElement;
let isAdmin: boolean;
let messages: number;
/** Whether the node answers, and whether it takes the user for an admin. */
let answers: "yes" | "no" | "forbidden" | "unauthenticated";
const asked: string[] = [];
const banned = new Set<string>();
const onEnded = vi.fn();

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
  vi.stubGlobal("fetch", respond);
  HTMLElement.prototype.showPopover ??= () => {};
  HTMLElement.prototype.hidePopover ??= () => {};
  container = document.createElement("div");
  document.body.append(container);
  root = createRoot(container);
  [isAdmin, messages, answers, asked.length] = [true, 0, "yes", 0];
  banned.clear();
  onEnded.mockReset();
});

afterEach(() => {
  act(() => root.unmount());
  container.remove();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function respond(address: string, { method = "GET" }: RequestInit = {}): Promise<Response> {
  const { pathname, searchParams } = new URL(address);
  if (pathname === "/api/login") {
    const user = { id: "u1", name: "Ada", ...(isAdmin ? { admin: true } : {}) };
    return Response.json({ access_token: "t", expires_in: 900, user });
  }
  if (answers === "no") throw new TypeError("away");
  if (pathname === "/api/token" || answers === "unauthenticated") return refusal(401, "unauthenticated");
  if (answers === "forbidden") return refusal(403, "forbidden");
  asked.push(`${method} ${pathname}${searchParams.get("name") ? `?${searchParams.get("name")}` : ""}`);
  if (pathname === "/api/admin/overview") return Response.json(overview());
  if (pathname === "/api/admin/users") return Response.json({ users: users(), more: false });
  if (pathname === "/api/admin/rooms") return Response.json({ rooms: [], more: false });
  if (pathname === "/api/admin/users/u2/ban") banned.add("u2");
  return Response.json({});
}

function refusal(status: number, code: string): Response {
  return Response.json({ error: { code, message: code, retryable: false } }, { status });
}

function overview() {
  const quantiles = { p50: 1.5, p99: 12 };
  const node = {
    node: "n1",
    address: "host:1",
    region: "",
    connections: 3,
    max_connections: 9,
    draining: true,
  };
  return {
    node: "n1",
    version: "1.0",
    uptime_seconds: Date.now() / 1000,
    connections: 3,
    messages,
    deliveries: messages * 3,
    bytes_in: 0,
    bytes_out: 0,
    slow_consumers: 0,
    latency_ms: quantiles,
    commit_ms: null,
    event_loop_lag_ms: quantiles,
    nodes: [node],
  };
}

function users() {
  return ["u1", "u2"].map((id) => ({
    id,
    name: id === "u1" ? "Ada" : "Bob",
    admin: id === "u1",
    banned: banned.has(id),
    connections: 1,
  }));
}

async function open(): Promise<void> {
  const api = new HttpApi("http://node");
  await api.signIn("Ada", "secret");
  await act(async () => root.render(<Admin api={api} onEnded={onEnded} />));
  await pass(500);
}

async function pass(ms: number): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

function button(name: string): HTMLButtonElement {
  const all = [...document.querySelectorAll("button")];
  const found = all.find((it) => (it.getAttribute("aria-label") ?? it.textContent) === name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
}

const chart = (title: string) => container.querySelector(`svg[aria-label^="${title}"]`);

test("charts go on by themselves, and say their values in words", async () => {
  await open();
  expect(chart("Connections")?.getAttribute("aria-label")).toMatch(/: 3, at most 3$/);
  expect(chart("Send to receive")?.getAttribute("aria-label")).toMatch(/p99 12 ms.*p50 1.5 ms/);
  expect(chart("Commit")?.getAttribute("aria-label")).toMatch(/p99 –/);
  for (let second = 0; second < 4; second++) {
    messages += 8;
    await pass(2000);
  }
  expect(chart("Messages a second")?.getAttribute("aria-label")).toMatch(/: 4, at most 4$/);
  expect(chart("Deliveries a second")?.getAttribute("aria-label")).toMatch(/: 12,/);
  expect(chart("Messages a second")?.querySelector("path")?.getAttribute("d")).toMatch(/^M.*L/);
});

test("a node that is silent for a while is told of, and the page goes on", async () => {
  await open();
  const notice = () => container.querySelector<HTMLElement>(".notice");
  answers = "no";
  await pass(4000);
  expect(notice()?.hidden).toBe(false);
  expect(notice()?.textContent).toContain("does not answer");
  answers = "yes";
  await pass(4000);
  expect(notice()?.hidden).toBe(true);
});

test("nodes are listed with their load, and those that are drained stand out", async () => {
  await open();
  const row = container.querySelector("tbody tr")?.textContent;
  expect(row).toContain("n1answers you");
  expect(row).toContain("3 of 9");
  expect(row).toContain("draining");
});

test("users are searched for, and banned after a question; oneself is left alone", async () => {
  await open();
  const field = container.querySelector<HTMLInputElement>('input[type="search"]');
  await act(async () => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(field, "bo");
    field?.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await pass(500);
  expect(asked).toContain("GET /api/admin/users?bo");
  expect(container.querySelector('[data-user="u1"] .menu')).toBeNull();
  await act(async () => button("What to do about Bob").click());
  await act(async () => button("Ban the account").click());
  expect(asked).not.toContain("POST /api/admin/users/u2/ban");
  act(() => button("Ban").click());
  await pass(100);
  expect(asked).toContain("POST /api/admin/users/u2/ban");
  expect(container.querySelector('[data-user="u2"]')?.textContent).toContain("banned");
});

test("who is no admin is told so, and shown the way back", async () => {
  isAdmin = false;
  await open();
  expect(container.textContent).toContain("for operators");
  expect(container.querySelector("a")?.getAttribute("href")).toBe("./");
  expect(asked).toEqual([]);
});

test("who is no admin any more is told so, too", async () => {
  await open();
  answers = "forbidden";
  await pass(3000);
  expect(container.textContent).toContain("for operators");
});

test("an ended session leads to the sign-in page", async () => {
  await open();
  answers = "unauthenticated";
  await pass(3000);
  expect(onEnded).toHaveBeenCalled();
});
