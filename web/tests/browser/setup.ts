/** What the tests need besides themselves; says what is missing, where something is. */

import { existsSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { findChromium, PAGE, PYTHON } from "./places.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Why nothing can be tested; empty if everything is there. */
    missing: string;
  }
}

export default function setup(project: TestProject): void {
  const missing = [
    findChromium() ? "" : "Chromium is not in PATH",
    existsSync(PYTHON) ? "" : `there is no ${PYTHON}`,
    existsSync(PAGE) ? "" : "the page is not built",
  ].find(Boolean);
  project.provide("missing", missing ?? "");
  if (missing) console.warn(`browser tests skipped: ${missing}`);
}
