import './sign-in.css';
import { signIn } from '../session';

const HOME = '/graphiql';

const message = document.querySelector<HTMLElement>('#message')!;
const form = document.querySelector<HTMLFormElement>('#form')!;

function say(text: string, isError = false): void {
  message.textContent = text;
  message.classList.toggle('error', isError);
}

async function enter(body: Parameters<typeof signIn>[0]): Promise<void> {
  form.inert = true;
  try {
    const refused = await signIn(body);
    if (refused === undefined) {
      location.replace(HOME);
      return;
    }
    say(refused.message, true);
  } catch {
    say('The server does not answer. Does it run?', true);
  }
  form.inert = false;
}

function useLink(): void {
  // The secret is in the fragment, which no server and no log sees; here it leaves the address bar and the history.
  const link = location.hash.slice(1);
  if (!link) return;
  history.replaceState(null, '', location.pathname);
  say('Signing in …');
  void enter({ link });
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const data = new FormData(form);
  say('Signing in …');
  void enter({ username: String(data.get('username')), password: String(data.get('password')) });
});
window.addEventListener('hashchange', useLink); // a link pasted into this very tab
useLink();
