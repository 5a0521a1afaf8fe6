// Before the first paint, so that nobody who chose dark sees a white flash. A file, because the policy allows no inline script.
try {
  const theme = localStorage.getItem("headrace.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme it is.
}
