// Bundles entry.js into ../dist and collects the licences of what is in it.
import { build } from 'esbuild';
import { readFile, readdir, writeFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

// GraphiQL's style sheet carries its fonts inline: 300 kB that the system's own
// fonts replace.
const withoutFonts = {
  name: 'without-fonts',
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replace(/@font-face\s*{[^}]*}/g, ''),
      loader: 'css',
    }));
  },
};

const dist = '../dist';
await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

const result = await build({
  entryPoints: { ide: 'entry.js' },
  outdir: dist,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none', // whole licence texts are in LICENSES.txt
  plugins: [withoutFonts],
  metafile: true,
  logLevel: 'info',
});

// Every package that put bytes into the bundle.
const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const match = input.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//);
  if (match) packages.add(match[1]);
}
const namesByText = new Map();
for (const folder of [...packages].sort()) {
  const { name, version, license, author, repository } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text = file
    ? (await readFile(join(folder, file), 'utf8')).trim()
    : `No licence file. Author: ${author?.name ?? author ?? 'not named'}; source: ${repository?.url ?? repository}`;
  namesByText.set(text, [...(namesByText.get(text) ?? []), `${name} ${version} (${license})`]);
}
const sections = [...namesByText].map(([text, names]) => `${names.join('\n')}\n${'-'.repeat(72)}\n${text}\n`);
await writeFile(join(dist, 'LICENSES.txt'), sections.join('\n\n'));
