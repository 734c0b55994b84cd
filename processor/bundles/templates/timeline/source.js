// The data of a page that is one file: its head, and a line for each entry.

start(JSON.parse(byId("data").textContent), byId("lines").textContent.split("\n").filter(Boolean));
