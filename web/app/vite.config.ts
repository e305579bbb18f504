/** Builds the page: hashed names, and each text file also compressed, so that no server has to do it. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const COMPRESSIBLE = /\.(js|css|html|svg|json)$/;
/** Below it the headers weigh more than what is saved. */
const MIN_BYTES = 512;

function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir = "dist" }) {
      const files = readdirSync(dir, { recursive: true, encoding: "utf8" });
      for (const path of files.filter((name) => COMPRESSIBLE.test(name)).map((name) => join(dir, name))) {
        const content = readFileSync(path);
        if (content.length < MIN_BYTES) continue;
        const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params }));
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [react(), compressed()],
  resolve: { conditions: ["source", ...defaultClientConditions] },
  build: {
    target: "es2023",
    assetsInlineLimit: 0, // a strict policy allows no data: scripts or fonts
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": "http://127.0.0.1:8000", "/ws": { target: "ws://127.0.0.1:8000", ws: true } },
  },
});
