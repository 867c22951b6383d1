import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

// The server's package carries what is built.
const OUT = join(import.meta.dirname, '../app/web/static');

// Every page is an entry of its own: to add one, add its HTML here and its address in app/web/pages.py.
const PAGES = ['graphiql/index.html', 'sign-in/index.html'];

// `vite` serves the sources and hands everything else to a running server.
const SERVER = process.env.GRADBOOK_SERVER ?? 'http://127.0.0.1:8000';

/** A gzipped copy beside every file that shrinks: the server never compresses. */
function gzipSidecars(): Plugin {
  return {
    name: 'gzip-sidecars',
    apply: 'build',
    closeBundle() {
      for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
        if (!/\.(js|css|html|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const content = readFileSync(path);
        const packed = gzipSync(content, { level: 9 });
        if (packed.length < content.length) writeFileSync(`${path}.gz`, packed);
      }
    },
  };
}

export default defineConfig({
  plugins: [gzipSidecars()],
  worker: { format: 'es' },
  // The dev server's optimizer cannot read `?worker` imports inside packages: ours are made from this module.
  optimizeDeps: { include: ['monaco-graphql/esm/graphql.worker.js'] },
  server: {
    // Without changeOrigin: the server compares a socket's Origin with its Host.
    proxy: {
      '/graphql': { target: SERVER, ws: true, bypass: (request) => (request.url === '/graphql' ? undefined : request.url) },
      '/sign-in': { target: SERVER, bypass: (request) => (request.method === 'POST' ? undefined : request.url) },
      '/sign-out': SERVER,
    },
  },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000, // kB: the editor is one piece
    rolldownOptions: {
      input: PAGES.map((page) => join(import.meta.dirname, page)),
      onLog(level, log, handle) {
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handle(level, log); // "use no memo", for a compiler that is not used
      },
    },
  },
});
