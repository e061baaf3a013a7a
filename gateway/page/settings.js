// What one may choose: who one is, language, colours, model. Each is kept in this
// browser, and each counts at once.

import { openDialog } from "./dialog.js";
import { element, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { device } from "./store.js";
import { language, own, words } from "./words.js";

const THEMES = ["light", "dark"];

/** The settings, and the dialog that shows them. */
export class Settings {
  #identity;
  #api;
  #dialog = null;
  /** What questions may name, the server's own choice first. */
  #models = [];

  constructor(identity, api) {
    this.#identity = identity;
    this.#api = api;
    device.watch((name) => this.#elsewhere(name));
  }

  /** Looks whether the model that was chosen is still there. */
  async begin() {
    if (device.get("model")) await this.#look();
  }

  /** What is sent with every question. */
  chosen() {
    const model = device.get("model");
    return model ? { model } : {};
  }

  /** The button that opens them. */
  button() {
    return iconButton(icon("settings"), words.settings, () => this.open(), { id: "settings-open", "aria-haspopup": "dialog" });
  }

  async open() {
    if (this.#dialog) return;
    this.#dialog = openDialog(words.settings, { id: "settings", close: () => { this.#dialog = null; } },
      this.#who(),
      this.#languages(),
      this.#themes(),
      element("div", { id: "settings-models" }),
      links());
    await this.#look();
    this.#drawModels();
  }

  #who() {
    if (this.#identity.userId === null) return this.#signed();
    // Nobody can say who one is while the server waits for a key.
    return this.#identity.isWanted ? null : this.#named();
  }

  /** By what name one goes, where everybody may go by any. */
  #named() {
    const fault = element("p", { id: "user-fault", class: "fault", role: "alert" });
    const input = element("input", {
      id: "user", value: this.#identity.userId, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      "aria-describedby": "user-fault user-hint",
    });
    const submit = (event) => {
      event.preventDefault();
      const wrong = this.#identity.rename(input.value);
      fault.textContent = wrong ? words[wrong] : "";
      input.setAttribute("aria-invalid", Boolean(wrong));
      if (wrong) input.focus();
    };
    return element("form", { class: "who", novalidate: true, submit },
      element("label", { for: "user" }, words.user),
      element("div", { class: "line" }, input, element("button", { type: "submit", class: "quiet" }, words.userSwitch)),
      fault,
      element("p", { id: "user-hint", class: "hint" }, words.userHint));
  }

  /** Whose key it is. */
  #signed() {
    const { name, role, expiresAt } = this.#identity.self;
    const leave = element("button", { type: "button", class: "quiet", click: () => this.#identity.leave() }, words.signOut);
    const until = expiresAt ? element("p", { class: "hint" }, words.keyUntil(date(expiresAt))) : null;
    return element("div", { class: "who" },
      element("div", { class: "line" }, element("p", { id: "user" }, words.signedIn, " ", element("strong", {}, name)), leave),
      role === "operator" ? element("p", { class: "hint" }, words.operator) : null,
      until,
      element("p", { class: "hint" }, words.signOutHint));
  }

  #languages() {
    const names = { "": words.automatic, en: words.english, zh: words.chinese };
    return choice("language", words.languageChoice, names, device.get("language") ?? "", (value) => this.#speak(value || null));
  }

  /** Texts are read once, so that the page is loaded anew; what was written stays. */
  #speak(chosen) {
    device.set("language", chosen);
    if ((chosen ?? own) !== language) location.reload();
  }

  #themes() {
    const names = { "": words.themeSystem, light: words.themeLight, dark: words.themeDark };
    return choice("theme", words.theme, names, device.get("theme") ?? "", (value) => {
      device.set("theme", value || null);
      paint();
    });
  }

  async #look() {
    const models = await this.#api.status().then((it) => it.models, () => null);
    if (!models) return;
    this.#models = models;
    if (!models.includes(device.get("model"))) device.set("model", null);
  }

  #drawModels() {
    const place = this.#dialog?.querySelector("#settings-models");
    if (!place || this.#models.length < 2) return;
    const others = this.#models.slice(1);
    const names = { "": words.modelOwn, ...Object.fromEntries(others.map((it) => [it, it])) };
    const kept = device.get("model");
    const chosen = others.includes(kept) ? kept : "";
    place.append(choice("model", words.model, names, chosen, (value) => device.set("model", value || null)));
  }

  /** Another tab of this browser has chosen. */
  #elsewhere(name) {
    if (name === "theme") paint();
    if (name === "language" && (device.get("language") ?? own) !== language) location.reload();
  }
}

/** Shows the chosen colours. */
function paint() {
  const theme = device.get("theme");
  if (THEMES.includes(theme)) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** A row with a choice of several; `names` are what is shown for each value. */
function choice(name, label, names, chosen, changed) {
  const options = Object.entries(names).map(([value, text]) => element("option", { value, selected: value === chosen }, text));
  const select = element("select", { id: `settings-${name}`, change: () => changed(select.value) }, ...options);
  return element("div", { class: "setting" }, element("label", { for: select.id }, label), select);
}

function links() {
  const link = (href, text) => element("a", { href, target: "_blank", rel: "noopener" }, text);
  return element("p", { class: "links" }, link("/docs", words.apiDocs), link("/openapi.json", words.apiDocument));
}

/** A moment to the minute. */
function date(at) {
  const form = { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en", form).format(new Date(at));
}
