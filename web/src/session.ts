// Signing in and out: the session is a cookie that no script can read.

export interface Refusal {
  message: string;
  code: string;
}

/** Sends username and password, or a link's secret. Nothing is returned when it went well. */
export async function signIn(body: { username: string; password: string } | { link: string }): Promise<Refusal | undefined> {
  const answer = await fetch('/sign-in', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) return refusal(answer);
  await answer.json(); // to its end, before the page goes
}

/** Ends the session, and the sockets that it opened. */
export async function signOut(): Promise<void> {
  await fetch('/sign-out', { method: 'POST' });
}

async function refusal(answer: Response): Promise<Refusal> {
  try {
    const { errors } = (await answer.json()) as { errors: { message: string; extensions: { code: string } }[] };
    if (errors[0]) return { message: errors[0].message, code: errors[0].extensions.code };
  } catch {
    // not from this server
  }
  return { message: `The server answered ${answer.status} ${answer.statusText}.`, code: 'UNKNOWN' };
}
