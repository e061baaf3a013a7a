// Sets the chosen colours before anything is painted. A classic script for that
// reason: the page waits for it, and for nothing else.

try {
  const theme = JSON.parse(localStorage.getItem("weir.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Nothing can be kept here, or it is no choice: the system decides.
}
