// Dialogs: add and remove a camera, sign in, the keys.

import { attempt } from "./health.js";
import { ask, camera } from "./requests.js";

const $ = (id) => document.getElementById(id);

// Open a dialog. `submit` returns whether it closes then.
function opened(id, submit) {
  const dialog = $(id);
  const form = dialog.querySelector("form");
  for (const cancel of form.querySelectorAll("[value=cancel]")) cancel.onclick = () => dialog.close();
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (await submit(dialog)) dialog.close();
  };
  if (!dialog.open) dialog.showModal();
  return dialog;
}

export function addCamera(changed) {
  $("add-error").textContent = "";
  opened("add-dialog", async () => {
    const [source, name] = [$("add-source").value.trim(), $("add-name").value.trim()];
    try {
      await ask("POST", "api/cameras", name ? { source, name } : { source });
      $("add-source").value = $("add-name").value = "";
      await changed();
      return true;
    } catch (error) {
      $("add-error").textContent = error.message;
    }
  });
}

export function removeCamera(name, changed) {
  $("remove-title").textContent = `Remove ${name}?`;
  opened("remove-dialog", async () => {
    await attempt(ask("DELETE", camera(name)));
    await changed();
    return true;
  });
}

let signingIn = null;

// Ask for the token, however many requests need it; the page is loaded again with its cookie.
export function login() {
  signingIn ??= new Promise((resolve) => {
    const dialog = opened("login-dialog", async () => {
      try {
        await ask("POST", "api/session", $("login-token").value);
        location.reload();
      } catch (error) {
        $("login-error").textContent = error.message;
      }
    });
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = resolve;
  });
  return signingIn;
}

export const showHelp = () => opened("help-dialog", async () => true);
