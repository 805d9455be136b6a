/** Asking the server from a script: forms' fields or JSON, with the token of the visit; refusals in words. */

export class Refused extends Error {}

export const UNREACHABLE = "The coordinator cannot be reached now. Check your connection, and repeat this.";

/** Send fields of a form; return the answer's JSON. Throws `Refused` with the server's words. */
export function send(address, fields) {
  return ask(address, { body: fields, headers: { "X-Form-Token": formToken() } });
}

/** Send JSON; return the answer's JSON. Throws `Refused` with the server's words. */
export function sendJson(address, value) {
  const headers = { "Content-Type": "application/json", "X-Form-Token": formToken() };
  return ask(address, { body: JSON.stringify(value), headers });
}

/** Get JSON. */
export function get(address) {
  return ask(address, { method: "GET" });
}

async function ask(address, { method = "POST", headers = {}, ...rest }) {
  let answer;
  try {
    const accept = { Accept: "application/json", ...headers };
    answer = await fetch(address, { method, headers: accept, credentials: "same-origin", redirect: "error", ...rest });
  } catch {
    throw new Refused(UNREACHABLE);
  }
  if (!answer.ok) throw new Refused(await wordsOf(answer));
  return answer.json().catch(() => null);
}

async function wordsOf(answer) {
  const value = await answer.json().catch(() => null);
  return value?.detail ?? `The coordinator answered ${answer.status}.`;
}

/**
 * Why the server refuses what is no JSON, such as a stream: `{words, seconds}`, the seconds being those after which it is to be
 * asked again, or 0. If it does not refuse it any more, there are no words.
 */
export async function whyRefused(address) {
  const stop = new AbortController();
  try {
    const accept = { Accept: "application/json" };
    const answer = await fetch(address, { headers: accept, credentials: "same-origin", redirect: "error", signal: stop.signal });
    if (answer.ok) return { words: "", seconds: 0 };
    return { words: await wordsOf(answer), seconds: Number(answer.headers.get("Retry-After")) || 0 };
  } catch {
    return { words: UNREACHABLE, seconds: 0 };
  } finally {
    stop.abort();
  }
}

/** Tell at the top of the page what went wrong; return the notice. */
export function failed(error) {
  const notice = document.createElement("div");
  notice.className = "notice bad";
  const text = document.createElement("p");
  text.textContent = error instanceof Refused ? error.message : `This browser could not do it: ${error.message}`;
  notice.append(text);
  const place = document.getElementById("notices");
  place?.replaceChildren(notice);
  place?.scrollIntoView({ block: "nearest" });
  return notice;
}

function formToken() {
  return JSON.parse(document.body.getAttribute("hx-headers"))["X-Form-Token"];
}
