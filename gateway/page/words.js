// What the page says, in the reader's language: the one chosen on this device,
// else the browser's.

import { device } from "./store.js";
import { ENGLISH } from "./words/en.js";
import { CHINESE } from "./words/zh.js";

const LANGUAGES = { en: ENGLISH, zh: CHINESE };

/** The browser's. */
export const own = /^zh\b/i.test(navigator.language ?? "") ? "zh" : "en";
/** `en` or `zh`. */
export const language = LANGUAGES[device.get("language")] ? device.get("language") : own;
export const words = LANGUAGES[language];

/** A moment in the reader's own way: the time of today, else the day. */
export function moment(at) {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  const form = today ? { hour: "2-digit", minute: "2-digit" } : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en", form).format(date);
}
