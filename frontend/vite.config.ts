import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { ElementPlusResolver } from 'unplugin-vue-components/resolvers'
import Components from 'unplugin-vue-components/vite'
import { defineConfig } from 'vitest/config'
import { compress } from './build/compress.ts'

// The server that `npm run dev` shows: TUNESMITH_URL, else the port of TUNESMITH_PORT.
const server = process.env.TUNESMITH_URL ?? `http://127.0.0.1:${process.env.TUNESMITH_PORT ?? 8000}`
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  // Development servers side by side need a cache each.
  cacheDir: process.env.VITE_CACHE_DIR ?? 'node_modules/.vite',
  resolve: { alias: { '@': here('./src') } },
  plugins: [
    vue(),
    // Types come from element-plus/global, so nothing has to be generated before a check.
    Components({ dts: false, dirs: [], resolvers: [ElementPlusResolver({ importStyle: 'css' })] }),
    compress(),
  ],
  define: {
    __VUE_I18N_LEGACY_API__: false,
    __VUE_I18N_FULL_INSTALL__: true,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  server: {
    // The help page shows the guides in docs/.
    fs: { allow: [here('.'), here('../docs')] },
    // The Host stays the browser's, or the server would refuse the writes of a foreign origin.
    proxy: Object.fromEntries(
      ['/finetuning', '/health', '/docs', '/openapi.json', '/static-offline-docs'].map((path) => [
        path,
        { target: server, changeOrigin: false },
      ]),
    ),
  },
  build: {
    outDir: here('../src/tunesmith/web'),
    emptyOutDir: true,
    target: 'es2022',
    // Inlined images would need `data:` where the content security policy does not allow it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'vue', test: /node_modules\/(@vue|vue|vue-router|vue-i18n|@intlify)\//, priority: 3 },
            // What one page alone uses stays with that page.
            { name: 'element', test: /node_modules\/(element-plus|@element-plus|@vueuse|@popperjs|@floating-ui|@ctrl|async-validator|dayjs|lodash)/, priority: 2, minShareCount: 2 },
          ],
        },
      },
    },
  },
  // A test reads only pure modules: no browser is imitated.
  test: { environment: 'node', include: ['tests/**/*.test.ts'] },
})
