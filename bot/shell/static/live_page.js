// Beside SimCord's own page: relative times that move on, as in Discord, and a view that follows the newest message.
const UNITS = [["second", 1, 60], ["minute", 60, 3600], ["hour", 3600, 86400], ["day", 86400, 604800], ["week", 604800, Infinity]];

function tell(time) {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, , end]) => Math.abs(seconds) < end);
  const text = new Intl.RelativeTimeFormat(time.lang, { numeric: "auto" }).format(Math.round(seconds / size), unit);
  if (time.textContent !== text) time.textContent = text;
}

function tellAll() {
  document.querySelectorAll('time.discord-timestamp[data-style="R"]').forEach(tell);
}

setInterval(tellAll, 1000);

// The newest message stays in view until somebody scrolls away, and again once they scroll back or send something.
const timeline = document.querySelector("#channel-timeline");
const messages = document.querySelector("#channel-message-list");
let following = true;

new MutationObserver(tellAll).observe(messages, { childList: true, subtree: true }); // SimCord's own are those of its last publication

// SimCord closes a menu that leaves the view.
function follow() {
  if (following && !document.querySelector(".preview-select.is-open")) timeline.scrollTo({ top: timeline.scrollHeight });
}

for (const kind of ["wheel", "touchmove"]) timeline.addEventListener(kind, () => { following = false; }, { passive: true });
timeline.addEventListener("pointerdown", (event) => { if (event.target === timeline) following = false; }); // its bar
timeline.addEventListener("scroll", () => {
  if (timeline.scrollHeight - timeline.scrollTop - timeline.clientHeight <= 2) following = true;
}, { passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { following = true; follow(); }
}, { capture: true });
const sizes = new ResizeObserver(follow);
sizes.observe(messages);
sizes.observe(timeline);
