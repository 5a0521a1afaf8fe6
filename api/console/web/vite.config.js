// Builds the console: `node node_modules/vite/bin/vite.js build`. In development, run vite itself beside `./headrace up`.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build, defineConfig } from "vite";

const WORTH_BYTES = 600;

/** Leaves a .br and a .gz beside every text of the build, which the API sends as they are. The last build does so for both. */
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

/** Builds the widget beside the console: one plain script with a name that stays, since other people's pages have it. */
function widget() {
  return {
    name: "widget",
    apply: "build",
    writeBundle: ({ dir }) =>
      build({
        configFile: false,
        logLevel: "warn",
        publicDir: false,
        build: {
          outDir: dir,
          emptyOutDir: false,
          target: "es2022",
          rolldownOptions: { input: "src/widget/main.ts", output: { format: "iife", entryFileNames: "widget.js" } },
        },
        plugins: [precompressed()],
      }),
  };
}

export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: "es2022" },
  plugins: [widget()],
  server: { proxy: { "/api": process.env.HEADRACE_URL ?? "http://127.0.0.1:8000" } },
});
