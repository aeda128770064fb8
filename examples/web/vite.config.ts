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
  // `npx vite examples/web` beside a running `npm start`: the page with hot reload.
  server: {
    proxy: Object.fromEntries(
      ['/rest/v1', '/api', '/demo'].map((path) => [path, 'http://127.0.0.1:54321']),
    ),
  },
});
