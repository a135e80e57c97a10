// BullMQ beside Posthaste: `peer.js enqueue SOCKET COUNT FROM FIRST_MS SPAN_MS` puts jobs into the queue in batches, due at
// once when FIRST_MS is 0; `peer.js work SOCKET URL AT_ONCE` sends each by a POST. `peer.js versions` names what is measured.
'use strict';

const { Queue, Worker } = require('bullmq');

const TEXT = 'x'.repeat(160);
const BATCH = 1000;
const OPTIONS = { removeOnComplete: true };

async function enqueue(path, count, from, first, span) {
  const queue = new Queue('sms', { connection: { path } });
  await queue.waitUntilReady();
  const start = process.hrtime.bigint();
  for (let at = 0; at < count; at += BATCH) {
    const jobs = [];
    const timestamp = Date.now();
    for (let n = at; n < Math.min(at + BATCH, count); n++) {
      const to = `+7916${String(from + n).padStart(7, '0')}`;
      const delay = Math.max(0, first + Math.floor((n * span) / count) - timestamp);
      const opts = first ? { ...OPTIONS, timestamp, delay } : OPTIONS;
      jobs.push({ name: 'send', data: { to, text: TEXT }, opts });
    }
    await queue.addBulk(jobs);
  }
  console.log(`seconds ${Number(process.hrtime.bigint() - start) / 1e9}`);
  await queue.close();
}

async function work(path, url, atOnce) {
  const { Pool } = require('undici');
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: atOnce, pipelining: 1 });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const send = async ({ data: { to, text } }) => {
    const body = `to=${encodeURIComponent(to)}&text=${encodeURIComponent(text)}`;
    const answer = await pool.request({ method: 'POST', path: `${pathname}?to=${to.slice(1)}`, headers, body });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`);
  };
  const worker = new Worker('sms', send, {
    connection: { path, maxRetriesPerRequest: null },
    concurrency: atOnce,
  });
  worker.on('error', (error) => console.error(error.message));
  worker.on('failed', (_, error) => console.error(error.message));
  await worker.waitUntilReady();
  console.log('ready');
  process.on('SIGTERM', () => process.exit(0));
}

const [what, path, ...rest] = process.argv.slice(2);
if (what === 'versions') {
  const { dependencies } = require('./package.json');
  console.log(`BullMQ ${dependencies.bullmq}, ioredis ${dependencies.ioredis}, undici ${dependencies.undici}, ` +
    `Node.js ${process.versions.node}`);
} else if (what === 'enqueue') {
  enqueue(path, ...rest.map(Number));
} else {
  work(path, rest[0], Number(rest[1]));
}
