// One case in a real browser: `node cases.mjs CASE FACTS`. Ends with 0 when all of it held.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.NODE_PATH}/`);
const { chromium } = (await import(pathToFileURL(require.resolve("playwright-core")))).default;

const PASSWORD = "correct horse battery";
// No window, no net beyond this machine, nothing of an earlier run: each launch has a profile of its own.
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

const text = (page, selector = "body") => page.locator(selector).innerText();
const lines = (page, id) => page.locator(`#${id} li`).allInnerTexts();

/** Fills in fields by their labels and presses a button. */
async function fill(page, fields, button) {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: false }).first().fill(value);
  await Promise.all([page.waitForLoadState("load"), page.getByRole("button", { name: button, exact: true }).click()]);
}

/** What every page of ours owes to those who do not see it. */
async function accessible(page) {
  const wrong = await page.evaluate(() => {
    const name = (node) => node.getAttribute("aria-label") || node.labels?.[0]?.innerText || node.innerText;
    const wrong = [];
    if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
    if (document.querySelectorAll("h1").length !== 1 || !document.querySelector("main")) wrong.push("no one heading in a main part");
    const named = document.querySelectorAll("button, a, select, textarea, input:not([type=hidden])");
    for (const node of named) if (!name(node)?.trim()) wrong.push(`no name: ${node.outerHTML}`);
    const buttons = [...document.querySelectorAll("td button")].map(name);
    if (new Set(buttons).size !== buttons.length) wrong.push(`buttons that sound the same: ${buttons}`);
    for (const table of document.querySelectorAll("table")) if (!table.querySelector("th[scope=col]")) wrong.push("a table without heads");
    for (const part of document.querySelectorAll("section")) if (!document.getElementById(part.getAttribute("aria-labelledby"))) wrong.push("a part without a heading");
    return wrong;
  });
  assert.deepEqual(wrong, [], page.url());
}

/** Goes in by a link that works once. */
async function join(page, link, name) {
  await page.goto(link);
  await fill(page, { "Your name here": name, "Password": PASSWORD, "The same again": PASSWORD }, "Go on");
  await page.getByText(`You are signed in as ${name}`).waitFor();
}

async function signOut(page, origin) {
  await page.goto(`${origin}/`);
  await page.getByRole("button", { name: "Sign out", exact: true }).first().click();
  await page.getByRole("link", { name: "Sign in" }).waitFor();
}

async function signIn(page, origin, name) {
  await page.goto(`${origin}/sign-in`);
  await fill(page, { "Name": name, "Password": PASSWORD }, "Sign in");
}

/** Keeps a note of one's own and one on the board of the app. */
async function keep(page, app, name) {
  await page.goto(app);
  assert.equal(await text(page, "h1"), name);
  for (const [label, note] of [["Mine", `secret of ${name}`], ["Board", `greetings from ${name}`]]) {
    await page.getByLabel(label).fill(note);
    await page.getByLabel(label).press("Enter");
    await page.getByText(note).waitFor();
  }
}

/** RFC 6238, as an authenticator app has it. */
function totp(secret, ahead = 0) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replaceAll(" ", "")].map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const hash = createHmac("sha1", key).update(step).digest();
  return String((hash.readUInt32BE(hash[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const cases = {
  async people(browser, { origin, app, link, invite }) {
    const olga = await (await browser.newContext()).newPage();
    await join(olga, link, "olga");
    await accessible(olga);
    for (const empty of ["You have none. A passkey", "Off. With an authenticator app", "You have none."]) {
      await olga.getByText(empty).first().waitFor();
    }
    const anna = await (await browser.newContext()).newPage();
    await join(anna, invite, "anna");
    await keep(olga, app, "olga");
    await keep(anna, app, "anna");
    await olga.reload();
    for (const [page, name] of [[olga, "olga"], [anna, "anna"]]) {
      assert.deepEqual(await lines(page, "mine"), [`secret of ${name}`], name);
      assert.deepEqual(await lines(page, "board"), ["greetings from olga", "greetings from anna"], name);
    }
    // The link home lists the app, and what this browser is signed in at.
    await anna.goto(origin);
    await accessible(anna);
    await anna.getByRole("link", { name: "board" }).click();
    await anna.getByText("secret of anna").waitFor();
    const stranger = await (await browser.newContext()).newPage();
    for (const path of ["/", "/sign-in"]) {
      await stranger.goto(origin + path);
      await accessible(stranger);
    }
    await stranger.goto(app);
    assert.ok(stranger.url().startsWith(`${origin}/sign-in`), stranger.url());
    await fill(stranger, { "Name": "anna", "Password": PASSWORD }, "Sign in");
    await stranger.getByText("secret of anna").waitFor();
    assert.equal(new URL(stranger.url()).origin, new URL(app).origin, "back at the app");
    await signOut(stranger, origin);
    await stranger.goto(app);
    assert.ok(stranger.url().startsWith(`${origin}/sign-in`), "signed out of the app too");
  },

  async noscript(browser, { origin, app, link }) {
    const page = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
    await join(page, link, "olga");
    await keep(page, app, "olga");
    await signOut(page, origin);
    await signIn(page, origin, "olga");
    await page.getByText("You are signed in as olga").waitFor();
    assert.equal(await page.getByRole("button", { name: /passkey/ }).count(), 0, "what needs a script is not shown");
    await page.getByLabel("What it is for").fill("a test");
    await page.getByRole("button", { name: "Make a token" }).click();
    assert.match(await text(page, "code"), /^fazt_/);
    await page.goto(`${origin}/confirm`);
    await fill(page, { "Password": PASSWORD }, "Confirm");
    await page.getByText("You are signed in as olga").waitFor();
  },

  async passkey(browser, { origin, link }) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const cdp = await context.newCDPSession(page);
    await cdp.send("WebAuthn.enable");
    const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
        isUserVerified: true, automaticPresenceSimulation: true,
      },
    });
    await join(page, link, "olga");
    await page.getByRole("button", { name: "Add a passkey of this device" }).click();
    await page.getByRole("button", { name: /^Remove the passkey/ }).waitFor();
    await accessible(page);
    const { credentials } = await cdp.send("WebAuthn.getCredentials", { authenticatorId });
    assert.equal(credentials.length, 1);
    assert.equal(credentials[0].rpId, "localhost");
    await signOut(page, origin);
    await page.goto(`${origin}/sign-in`);
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByText("You are signed in as olga").waitFor();
    await page.goto(`${origin}/confirm`);
    await accessible(page);
    await page.getByRole("button", { name: "Confirm with a passkey" }).click();
    await page.getByText("You are signed in as olga").waitFor();
    await page.getByRole("button", { name: /^Remove the passkey/ }).click();
    await page.getByText("You have none. A passkey").waitFor();
    await signOut(page, origin);
    await page.goto(`${origin}/sign-in`);
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByText("this passkey is not good here").waitFor();
  },

  async totp(browser, { origin, link }) {
    const page = await (await browser.newContext()).newPage();
    await join(page, link, "olga");
    await page.getByRole("link", { name: "Set it up" }).click();
    await accessible(page);
    assert.ok((await page.getByRole("img", { name: /^QR code/ }).boundingBox()).width > 100);
    const secret = await text(page, "code");
    await fill(page, { "Code of the app": "000000" }, "Turn it on");
    await page.getByRole("alert").getByText("this code is not right").waitFor();
    assert.equal(await text(page, "code"), secret, "the same secret, one code later");
    await fill(page, { "Code of the app": totp(secret) }, "Turn it on");
    await page.getByRole("heading", { name: "Your recovery codes" }).waitFor();
    await accessible(page);
    const codes = await page.locator("ul.codes code").allInnerTexts();
    assert.equal(codes.length, 10);
    await page.getByRole("link", { name: "I have them" }).click();
    await page.getByText("10 recovery codes are left").waitFor();
    const enter = async (code) => {
      await signOut(page, origin);
      await signIn(page, origin, "olga");
      await page.getByRole("heading", { name: "One more step" }).waitFor();
      await accessible(page);
      await fill(page, { "Code of your app": code }, "Sign in");
    };
    const ahead = totp(secret, 1);
    await enter(ahead);
    await page.getByText("You are signed in as olga").waitFor();
    await enter(ahead);
    await page.getByRole("alert").getByText("was used already").waitFor();
    await fill(page, { "Code of your app": codes[3].toUpperCase() }, "Sign in");
    await page.getByText("9 recovery codes are left").waitFor();
    await page.getByRole("button", { name: "Turn codes off" }).click();
    await page.getByText("Off. With an authenticator app").waitFor();
    await signOut(page, origin);
    await signIn(page, origin, "olga");
    await page.getByText("You are signed in as olga").waitFor();
  },

  async attacks(browser, { origin, app, evil, link }) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await join(page, link, "olga");
    await keep(page, app, "olga");
    // The hostile app's page, in the browser of somebody who is signed in.
    await page.goto(evil);
    const passkeys = await page.evaluate(async () => {
      const challenge = new Uint8Array(32);
      const user = { id: challenge, name: "x", displayName: "x" };
      const rp = { id: "localhost", name: "x" };
      const pubKeyCredParams = [{ type: "public-key", alg: -7 }];
      const tries = [
        navigator.credentials.get({ publicKey: { challenge, rpId: "localhost" } }),
        navigator.credentials.create({ publicKey: { challenge, rp, user, pubKeyCredParams } }),
      ];
      return (await Promise.allSettled(tries)).map((done) => done.reason?.name ?? "made one");
    });
    assert.deepEqual(passkeys, ["NotAllowedError", "NotAllowedError"]);
    // Nothing of the OS origin, or of another app, can be framed or read.
    for (const target of [`${origin}/`, `${origin}/confirm`, `${origin}/sign-in`]) {
      await page.evaluate((src) => new Promise((done) => {
        const frame = Object.assign(document.createElement("iframe"), { src, onload: done, onerror: done });
        document.body.replaceChildren(frame);
      }), target);
      const frame = page.frames().find((frame) => frame !== page.mainFrame());
      assert.ok(!frame.url().startsWith(origin) || !(await frame.content()).includes("<form"), `framed: ${target}`);
    }
    const read = await page.evaluate(async ([origin, app]) => {
      const tries = [origin, `${origin}/account/totp`, `${app}/`].flatMap((url) => [
        fetch(url, { credentials: "include" }).then((response) => response.text()),
        fetch(url, { credentials: "include", mode: "no-cors" }).then((response) => response.text()),
      ]);
      return (await Promise.allSettled(tries)).map((done) => done.value ?? "").join("");
    }, [origin, app]);
    assert.equal(read, "", "read across origins");
    // Forms of its own to pages of ours, sent as a navigation with the user's cookies.
    for (const path of ["/sign-out", "/account/password", "/account/totp-off", "/account/token-new", "/confirm"]) {
      await page.goto(evil);
      const [answer] = await Promise.all([
        page.waitForResponse((response) => response.url() === origin + path),
        page.evaluate((action) => {
          const form = Object.assign(document.createElement("form"), { method: "post", action });
          form.innerHTML = "<input name=new value='stolen horse battery'><input name=again value='stolen horse battery'>";
          document.body.append(form);
          form.submit();
        }, origin + path),
      ]);
      assert.equal(answer.status(), 403, path);
      await page.waitForURL(origin + path);
    }
    // A page that signs in again and again by script: it opens nothing and signs nobody out.
    await page.goto(evil);
    const statuses = await page.evaluate(async () => {
      const statuses = new Set();
      for (let n = 0; n < 60; n++) {
        for (const path of ["/_fazt/sign-in", "/_fazt/enter?code=x"]) statuses.add((await fetch(path)).status);
      }
      return [...statuses];
    });
    assert.deepEqual(statuses, [403]);
    await page.goto(origin);
    await page.getByText("You are signed in as olga").waitFor();
    await page.goto(app);
    assert.deepEqual(await lines(page, "mine"), ["secret of olga"]);
  },
};

const [, , name, facts] = process.argv;
const browser = await chromium.launch({
  executablePath: process.env.FAZT_CHROMIUM ?? "/usr/bin/chromium",
  args: FLAGS,
  headless: true,
});
try {
  await cases[name](browser, JSON.parse(facts));
} finally {
  await browser.close();
}
