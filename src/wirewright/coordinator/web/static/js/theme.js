/* Before anything is painted: the look that was chosen here, if one was. A classic script, so that it is early. */
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing has the system's look.
}
