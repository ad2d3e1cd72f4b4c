// What the page asks of the service.

export const base = new URL(".", location.href);
export const camera = (name, rest = "") => `api/cameras/${encodeURIComponent(name)}${rest}`;

let signIn = async () => {};

// `act` is waited for when a token is asked for.
export function onRefused(act) { signIn = act; }

export async function ask(method, path, body) {
  const json = body !== undefined && typeof body !== "string";
  const answer = await fetch(new URL(path, base), {
    method, body: json ? JSON.stringify(body) : body, headers: json ? { "Content-Type": "application/json" } : {},
  });
  if (answer.status === 401 && path !== "api/session") await signIn();
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the service answered ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

export function socketTo(path) {
  const url = new URL(path, base);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  return socket;
}
