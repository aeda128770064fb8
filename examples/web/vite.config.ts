import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  // The chart is most of it; it is loaded once, from this machine.
  build: { chunkSizeWarningLimit: 1200 },
  // `npx vite examples/web` beside a running `npm start`: the page with hot reload.
  server: {
    proxy: Object.fromEntries(
      ['/rest/v1', '/api', '/demo'].map((path) => [path, 'http://127.0.0.1:54321']),
    ),
  },
});
