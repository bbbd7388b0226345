// Beside SimCord's own page: relative times that move on, as in Discord, and a view that follows what one does.
const UNITS = [["second", 1, 60], ["minute", 60, 3600], ["hour", 3600, 86400], ["day", 86400, 604800], ["week", 604800, Infinity]];
const relative = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto" });

function tell(time) {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, , end]) => Math.abs(seconds) < end);
  const text = relative.format(Math.round(seconds / size), unit);
  if (time.textContent !== text) time.textContent = text;
}

setInterval(() => document.querySelectorAll('time.discord-timestamp[data-style="R"]').forEach(tell), 1000);

// Who sends a command wants to see what comes of it, wherever he had scrolled to.
const timeline = document.querySelector("#channel-timeline");
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && event.target.closest?.("#channel-composer")) {
    timeline?.scrollTo({ top: timeline.scrollHeight });
  }
}, { capture: true });
