// Runs the server audits of npm graphql-http against HANDOFF_URL (the address of
// the GraphQL endpoint), with HANDOFF_ADMIN_TOKEN as bearer token if it is set.
// Four audits read __type, so introspection must be on. Prints every audit;
// exits with 1 if any is not ok.
import { serverAudits } from 'graphql-http';
import { endpoint, token } from './clients.mjs';

const audits = serverAudits({
  url: endpoint,
  fetchFn: (url, init = {}) =>
    fetch(url, { ...init, headers: { ...init.headers, ...(token && { authorization: `Bearer ${token}` }) } }),
});

let failed = 0;
for (const audit of audits) {
  const result = await audit.fn();
  const ok = result.status === 'ok';
  if (!ok) failed++;
  console.log(`${ok ? 'ok    ' : result.status.padEnd(6)} ${result.id} ${result.name}${ok ? '' : ` — ${result.reason}`}`);
}
console.log(`${audits.length - failed} passed, ${failed} failed`);
process.exit(failed || audits.length === 0 ? 1 : 0);
