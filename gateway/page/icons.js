// The page's few pictures, as lines on a grid of 24.

const PATHS = {
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7",
  ban: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM6 6l12 12",
  check: "m5 12.5 4.5 4.5L19 7.5",
  clock: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 7.5V12l3 2",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  down: "M12 5v14m0 0 6-6m-6 6-6-6",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  export: "M12 4v11m0 0 4.5-4.5M12 15l-4.5-4.5M5 20h14",
  key: "M8 19.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10.5 13.5 19 5M16 8l3 3",
  memory: "M7 4h10v16l-5-4-5 4z",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  person: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5a7.5 7.5 0 0 1 15 0",
  plus: "M12 5v14M5 12h14",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 20 20",
  send: "M12 19V5m0 0-6 6m6-6 6 6",
  settings: "M4 7h9m5 0h2M4 17h2m5 0h9M15.5 4.5v5M8.5 14.5v5",
  stop: "M7 7h10v10H7z",
  tool: "M14.5 6.5a4 4 0 0 0-5 5L4 17l3 3 5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};
const SPACE = "http://www.w3.org/2000/svg";

/** A picture that says nothing to a screen reader: its button does. */
export function icon(name) {
  const drawing = document.createElementNS(SPACE, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  drawing.setAttribute("class", "drawn");
  drawing.dataset.icon = name;
  const path = document.createElementNS(SPACE, "path");
  path.setAttribute("d", PATHS[name]);
  drawing.append(path);
  return drawing;
}
