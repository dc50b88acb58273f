// The only script of these pages. Without it they work, with a password.
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

async function post(path, value) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(value),
  });
  const said = await response.json();
  if (!response.ok) throw new Error(said.error.message);
  return said;
}

// Signs in, or confirms that it is still they: `what` says which.
const show = (what) => async (form, data) => {
  const { ticket, options } = await post("/passkey/ask", { form });
  const key = options.publicKey;
  key.challenge = bytes(key.challenge);
  const made = await navigator.credentials.get({ publicKey: key });
  const answer = made.response;
  const { to } = await post(`/passkey/${what}`, {
    form, ticket, next: data.next,
    answer: {
      id: made.id, rawId: text(made.rawId), type: made.type, extensions: {},
      response: {
        authenticatorData: text(answer.authenticatorData), clientDataJSON: text(answer.clientDataJSON),
        signature: text(answer.signature), userHandle: answer.userHandle ? text(answer.userHandle) : null,
      },
    },
  });
  location.assign(to);
};

const ways = {
  enter: show("enter"),
  confirm: show("confirm"),
  async add(form) {
    const { ticket, options } = await post("/passkey/begin", { form });
    const key = options.publicKey;
    key.challenge = bytes(key.challenge);
    key.user.id = bytes(key.user.id);
    for (const known of key.excludeCredentials ?? []) known.id = bytes(known.id);
    const made = await navigator.credentials.create({ publicKey: key });
    await post("/passkey/add", {
      form, ticket,
      answer: {
        id: made.id, rawId: text(made.rawId), type: made.type, extensions: {},
        response: {
          attestationObject: text(made.response.attestationObject),
          clientDataJSON: text(made.response.clientDataJSON),
        },
      },
    });
    location.reload();
  },
};

for (const place of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  place.hidden = false;
  const [button, said] = [place.querySelector("button"), place.querySelector("output")];
  button.addEventListener("click", async () => {
    said.textContent = "";
    try {
      await ways[place.dataset.passkey](place.dataset.form, place.dataset);
    } catch (error) {
      said.textContent = error.name === "NotAllowedError" ? "No passkey was used." : error.message;
    }
  });
}
