/** Says why nothing is tested where there is no browser or no page. */

import { existsSync } from "node:fs";
import { findChromium } from "./browser.ts";
import { PYTHON } from "./node.ts";

export default function setup(): void {
  if (!findChromium()) console.warn("browser tests skipped: Chromium is not in PATH");
  else if (!existsSync(PYTHON)) console.warn(`browser tests skipped: ${PYTHON} does not exist (make build)`);
}
