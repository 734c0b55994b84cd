// The data of a page that is one file: its head, and a line for each entry. A long session is read bit by bit, so that its beginning is seen at once.

const LINES_A_TIME = 4000;

(async () => {
  const data = JSON.parse(byId("data").textContent), text = byId("lines").textContent;
  start(data);
  let at = 0;
  do {
    const lines = [];
    while (lines.length < LINES_A_TIME && at < text.length) {
      const found = text.indexOf("\n", at), end = found < 0 ? text.length : found;
      if (end > at) lines.push(text.slice(at, end));
      at = end + 1;
    }
    show(data, lines, at < text.length);
    startAtFirst();
    await new Promise((done) => setTimeout(done));
  } while (at < text.length);
})();
