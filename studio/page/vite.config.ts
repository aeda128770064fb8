import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const fromRoot = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export default defineConfig({
  plugins: [react()],
  // As in tsconfig.json: the source of the package, not what was built last.
  resolve: {
    alias: [
      { find: /^pgquota\/react\/styles\.css$/, replacement: fromRoot('react/styles.css') },
      { find: /^pgquota\/react$/, replacement: fromRoot('react/index.ts') },
      { find: /^pgquota$/, replacement: fromRoot('types/index.ts') },
    ],
  },
  build: {
    outDir: fromRoot('dist/studio/page'),
    emptyOutDir: true,
    // Of what is bundled; it ships with the package.
    license: { fileName: 'licenses.md' },
    // Nothing within the page: its policy lets in files alone.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
});
