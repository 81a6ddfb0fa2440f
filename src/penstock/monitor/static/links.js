// The dashboards of the stream, as links on the monitor's page.
"use strict";
(async () => {
  const place = document.getElementById("dashboards");
  const reply = await fetch("/api/v1/dashboards");
  if (!reply.ok) return;
  for (const { title, path } of await reply.json()) {
    const link = document.createElement("a");
    link.href = path;
    link.textContent = title;
    place.append(link, " ");
    place.hidden = false;
  }
})();
