// Builds the console: `node node_modules/vite/bin/vite.js build`. In development, run vite itself beside `./headrace up`.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const WORTH_BYTES = 600;

/** Leaves a .br and a .gz beside every text of the build, which the API sends as they are. */
function precompressed() {
  return {
    name: "precompressed",
    apply: "build",
    writeBundle: ({ dir }) => {
      for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const body = readFileSync(path);
        if (body.length < WORTH_BYTES) continue;
        writeFileSync(`${path}.br`, brotliCompressSync(body));
        writeFileSync(`${path}.gz`, gzipSync(body, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: "es2022" },
  plugins: [precompressed()],
  server: { proxy: { "/api": process.env.HEADRACE_URL ?? "http://127.0.0.1:8000" } },
});
