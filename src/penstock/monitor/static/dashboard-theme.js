// The theme that was chosen on this page before, set before anything is drawn.
"use strict";
(() => {
  const order = ["system", "light", "dark"];
  const read = () => {
    try {
      const kept = localStorage.getItem("penstock-theme");
      return order.includes(kept) ? kept : "system";
    } catch {
      return "system"; // storage may be forbidden: then the choice lasts as long as the page
    }
  };
  let chosen = read();
  const apply = () => {
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
  };
  apply();
  const system = matchMedia("(prefers-color-scheme: dark)");
  window.penstockTheme = {
    get chosen() { return chosen; },
    get dark() { return chosen === "dark" || (chosen === "system" && system.matches); },
    next() {
      chosen = order[(order.indexOf(chosen) + 1) % order.length];
      try { localStorage.setItem("penstock-theme", chosen); } catch { /* as above */ }
      apply();
    },
    watch(changed) { system.addEventListener("change", changed); },
  };
})();
