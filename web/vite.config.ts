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
        if (!/\.(js|css|html|svg|txt)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const content = readFileSync(path);
        const packed = gzipSync(content, { level: 9 });
        if (packed.length < content.length) writeFileSync(`${path}.gz`, packed);
      }
    },
  };
}

/** Writes the licenses of all packages that were bundled, as these ask. Vite's `build.license` leaves the workers out. */
class Licenses {
  private readonly folders = new Set<string>();

  gathered(): Plugin {
    return {
      name: 'licenses-gathered',
      apply: 'build',
      generateBundle: (_options, bundle) => {
        for (const chunk of Object.values(bundle)) {
          for (const module of chunk.type === 'chunk' ? chunk.moduleIds : []) {
            const folder = /[^\0]*\/node_modules\/(?:@[^/]+\/)?[^/]+\//.exec(module.replaceAll('\\', '/'));
            if (folder) this.folders.add(folder[0]);
          }
        }
      },
    };
  }

  written(): Plugin {
    return {
      name: 'licenses-written',
      apply: 'build',
      closeBundle: () => {
        const texts = new Map<string, string>(); // by name and version: one package may lie in several folders
        for (const folder of this.folders) {
          const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
          if (!license) throw new Error(`${name} ${version} does not say under which license it may be used`);
          const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice|third-?party)/i.test(file));
          const parts = files.sort().map((file) => readFileSync(join(folder, file), 'utf8').trim());
          texts.set(`${name} ${version}`, [`${name} ${version}: ${license}`, ...parts].join('\n\n'));
        }
        const rule = `\n\n${'='.repeat(80)}\n\n`;
        const sorted = [...texts.keys()].sort().map((key) => texts.get(key));
        writeFileSync(join(OUT, 'third-party-licenses.txt'), `${INTRODUCTION}${rule}${sorted.join(rule)}\n`);
      },
    };
  }
}

const INTRODUCTION = `The scripts and styles of these pages contain the following packages. The editor's icons, codicon.ttf
in monaco-editor, are Microsoft's, under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).`;

const licenses = new Licenses();

export default defineConfig({
  plugins: [licenses.gathered(), licenses.written(), gzipSidecars()],
  worker: { format: 'es', plugins: () => [licenses.gathered()] },
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
