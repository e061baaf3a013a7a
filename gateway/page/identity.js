// Who asks: by a name that one gives oneself, where the server lets everybody
// in, or as whoever a key belongs to. A key is kept where its owner wants it,
// is shown in one header, and is told nowhere else. Knows no nodes.

import { whoIs } from "./net/api.js";
import { device, randomId, tab } from "./store.js";

/** A page that is opened on this machine shares its conversations with the
 *  terminal, where nobody is called anything else either. */
const HERE = ["localhost", "127.0.0.1", "[::1]"];
const MOST_NAME_BYTES = 128;
const MOST_KEY_BYTES = 8 * 1024;
/** How a bearer token is spelled (RFC 6750). */
const SPELLED = /^[\w.~+/=-]+$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
/** How long a new page waits to hear whether it needs a key, in milliseconds. */
const PATIENCE = 4_000;

/** What is wrong with a user's name, as the name of a text; `null` if nothing is. */
export function nameFault(name) {
  if (!name) return "nameEmpty";
  if (CONTROL.test(name) || !name.isWellFormed()) return "nameControl";
  if (new TextEncoder().encode(name).length > MOST_NAME_BYTES) return "nameLong";
  return null;
}

/** What a server says of a key that it does not take, as the name of a text. */
function keyFault(status) {
  if (status === 401) return "keyWrong";
  if (status === 429) return "keyOften";
  return "keyUnreachable";
}

/** The person at this page. */
export class Identity {
  /** `{key, userId, role, expiresAt?}` of who has shown a key. */
  #signed;
  #name;
  #on;
  /** While a key is wanted: `{promise, resolve}`. */
  #wanted = null;
  /** Whether the server asks for keys; `null` while it has not been heard. */
  #authentication = null;
  /** Whether something may have been loaded for who is here. */
  #begun = false;

  /**
   * `on.wanted(why)`: a key is needed, because it is `keyMissing`, `keyRefused`
   * or `keyExpired`; `on.settled()`: no longer; `on.changed()`: somebody else is
   * here, and nothing of who was here before may stay.
   */
  constructor(on) {
    this.#on = on;
    this.#signed = tab.get("key") ?? device.get("key");
    this.#name = chosenName();
    device.watch((name) => ["key", "user"].includes(name) && this.#elsewhere());
  }

  /** What stands for the person in what is kept in this browser: no name of one
   *  begins like that of another. */
  get person() {
    return JSON.stringify(this.#signed?.userId ?? this.#name);
  }

  /** The user that requests name; `null` where the credential says it. */
  get userId() {
    return this.#signed ? null : this.#name;
  }

  /** Who it is, in words that a person knows: `{name, role?, expiresAt?}`. */
  get self() {
    const { userId, role, expiresAt } = this.#signed ?? {};
    return this.#signed ? { name: userId, role, expiresAt } : { name: this.#name };
  }

  /** What every request shows. */
  headers() {
    return this.#signed ? { authorization: `Bearer ${this.#signed.key}` } : {};
  }

  /** Finds out whether a key is needed, and waits for one. Who has one is
   *  believed until the server says otherwise. */
  async begin() {
    const checked = this.#check();
    if (!this.#signed) await checked;
    this.#begun = true;
  }

  /** Whether a key is wanted, and until then nothing else is sent. */
  get isWanted() {
    return Boolean(this.#wanted);
  }

  /** Waits while a key is wanted. */
  ready() {
    return this.#wanted?.promise;
  }

  /** Asks for a key after a request that showed these headers was refused;
   *  whether the same person is here with another one. */
  async challenge(shown) {
    const person = this.person;
    if (shown.authorization === this.headers().authorization) await this.#want();
    return this.person === person;
  }

  /** Takes a key, if the server does; the name of a text when it does not. */
  async offer(text, keep) {
    const key = text.trim().replace(/^bearer\s+/i, "");
    if (!key) return "keyEmpty";
    if (key.length > MOST_KEY_BYTES || !SPELLED.test(key)) return "keyMisspelled";
    const answer = await whoIs(key);
    if (answer.status !== 200) return keyFault(answer.status);
    this.#authentication = answer.authentication;
    if (!answer.authentication) this.#unsign();
    else this.#sign({ key, ...known(answer) }, keep);
    return null;
  }

  /** Goes by another name, where everybody may; the name of a text when that
   *  can be none. */
  rename(text) {
    // An end that cannot be seen would make another person of the same name.
    const name = text.trim();
    const fault = nameFault(name);
    if (fault || name === this.#name) return fault;
    device.set("user", name);
    this.#become(() => { this.#name = name; });
    return null;
  }

  /** Forgets the key, and what its person wrote here and did not send. */
  leave() {
    this.#clean();
    this.#unsign();
  }

  async #check() {
    const shown = this.headers();
    const answer = await whoIs(this.#signed?.key, PATIENCE);
    if (answer.status === 401) return this.challenge(shown);
    // Who does not answer now is heard of when something is asked.
    if (answer.status !== 200 || shown.authorization !== this.headers().authorization) return undefined;
    this.#authentication = answer.authentication;
    if (!answer.authentication) this.#unsign();
    else this.#sign({ ...this.#signed, ...known(answer) }, !tab.get("key"));
    return undefined;
  }

  #want() {
    this.#authentication = true;
    if (!this.#wanted) {
      this.#wanted = Promise.withResolvers();
      this.#on.wanted(this.#why());
    }
    return this.#wanted.promise;
  }

  #why() {
    if (!this.#signed) return "keyMissing";
    return Date.parse(this.#signed.expiresAt) <= Date.now() ? "keyExpired" : "keyRefused";
  }

  /** A key that is for this tab leaves alone what the device has for others. */
  #sign(signed, keep) {
    // What one person wrote and did not send stays for nobody else to find.
    if (this.#signed && this.#signed.userId !== signed.userId) this.#clean();
    (keep ? device : tab).set("key", signed);
    if (keep) tab.set("key", null);
    this.#become(() => { this.#signed = signed; });
  }

  #clean() {
    const own = (name) => `${name}.`.includes(`.${this.person}.`);
    for (const store of [device, tab]) store.names("").filter(own).forEach((name) => store.set(name, null));
  }

  #unsign() {
    tab.set("key", null);
    device.set("key", null);
    this.#become(() => { this.#signed = null; });
  }

  /** Another tab has changed who is here. A key of this tab's own stays, unless
   *  it counts no more. */
  #elsewhere() {
    if (tab.get("key") && !this.#wanted) return;
    const signed = device.get("key");
    if (signed) tab.set("key", null);
    if (this.#signed && !signed) this.#clean();
    this.#become(() => {
      this.#signed = signed;
      this.#name = chosenName();
    });
  }

  /** Changes who is here, and tells those who must know. */
  #become(change) {
    const [before, wasSigned] = [this.person, Boolean(this.#signed)];
    change();
    const isAnother = this.person !== before || (wasSigned && !this.#signed);
    if (isAnother && this.#begun) this.#on.changed();
    if (!this.#signed && this.#authentication) return;
    this.#wanted?.resolve();
    this.#wanted = null;
    this.#on.settled();
  }
}

/** What is kept of an answer about who asks. */
const known = ({ userId, role, expiresAt }) => ({ userId, role, expiresAt });

/** By what name one goes where everybody may. */
function chosenName() {
  const kept = device.get("user");
  if (typeof kept === "string" && !nameFault(kept)) return kept;
  if (HERE.includes(location.hostname)) return "local";
  const name = randomId();
  device.set("user", name);
  return name;
}
