#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('waxseal: not built yet. Run: npm ci && npm run build');
  process.exit(1);
}
// They tell who builds Waxseal, not who runs it.
process.noDeprecation = true;
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
await import(main.href);
