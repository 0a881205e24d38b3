import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const server = 'localhost:8080';

export default defineConfig({
  plugins: [react()],
  build: {
    // The served Content-Security-Policy allows no data: scripts or fonts, so nothing is inlined.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
    target: 'es2022',
  },
  server: {
    proxy: {
      '/api': `http://${server}`,
      '/readyz': `http://${server}`,
      '/webrtc': `http://${server}`,
      '/ws': { target: `ws://${server}`, ws: true },
    },
  },
  test: { include: ['tests/**/*.test.ts'] },
});
