import { signOut } from '../session';
import type { Viewer } from './book';

/** Who is signed in, and the way out. */
export function Account({ viewer }: { viewer: Viewer }) {
  return (
    <div className="gradbook-account">
      <span title={`Signed in as ${viewer.username}, ${viewer.role}`}>
        {viewer.username} <small>{viewer.role}</small>
      </span>
      <button type="button" onClick={() => void signOut().then(() => location.reload())}>
        Sign out
      </button>
    </div>
  );
}

/** What somebody reads who is not signed in. */
export function SignedOut() {
  return (
    <div className="gradbook-signed-out" role="status">
      <span>You are not signed in.</span>
      <a href="/sign-in">Sign in</a>
      <span>
        or, with an API key, write <code>{'{"Authorization": "Bearer gb_…"}'}</code> under Headers and press ⟳ at the
        left.
      </span>
    </div>
  );
}
