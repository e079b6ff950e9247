// Counts checks: each runs by itself; any failed one makes the process end with 1.

import { isDeepStrictEqual, inspect } from "node:util";

/** What `dvbulk simulate` says when it starts. */
export const simulator = JSON.parse(process.env.DVBULK_SIMULATOR);

let passed = 0;
const failed = [];

export async function check(name, run) {
  try {
    await run();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED ${name}\n${error.stack ?? inspect(error)}\n${inspect(error)}`);
  }
}

export function equal(got, wanted) {
  if (!isDeepStrictEqual(got, wanted)) {
    throw new Error(`got ${inspect(got)}, wanted ${inspect(wanted)}`);
  }
}

export async function refused(run, status, code) {
  try {
    await run();
  } catch (error) {
    const first = Array.isArray(error) ? error.find((e) => e instanceof Error) : error;
    // Errors of batches keep the service's object as it is.
    equal([first.status, first.code ?? first.error?.code], [status, code]);
    return;
  }
  throw new Error("was accepted");
}

export function done() {
  console.log(`${passed} passed, ${failed.length} failed`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
