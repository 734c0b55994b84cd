// Links to the session as it is now, which need no token: made, shown and taken back here.

const SHARED_DAYS = 30;

/** Show the links that there are; if there is none, offer to make one. */
async function share() {
  if (!await showShares()) await makeShare();
}
async function makeShare() {
  byId("shares").close();
  if (!await askReader(own("share_what", { days: SHARED_DAYS }), { yes: own("share_yes"), wantsText: false })) return;
  if (await act("shares", { expires_in_s: SHARED_DAYS * 86400 })) await showShares();
}
async function takeBack(share) {
  byId("shares").close();  // What is wrong is told behind it.
  const { ask } = await service;
  await ask(`${path}/shares/${share.share_id}`, { method: "DELETE" });
  await showShares();
}

/** Show the links that can be read now, each with a way to take it back; returns whether there are any. */
async function showShares() {
  const { ask } = await service;
  const { shares } = await ask(`${path}/shares`), valid = shares.filter((each) => each.status === "valid");
  byId("shares-list").replaceChildren(...valid.map((each) => {
    const line = element("li"), link = element("input"), back = element("button", "", own("share_back"));
    Object.assign(link, { type: "text", readOnly: true, value: each.url });
    link.setAttribute("aria-label", own("share"));
    link.addEventListener("focus", () => link.select());
    back.type = "button";
    back.addEventListener("click", () => takeBack(each).catch(fail));
    line.append(link, element("small", "", own("share_until", { day: day(Date.parse(each.expires_at)) })), back);
    return line;
  }));
  if (valid.length) byId("shares").showModal();
  return valid.length > 0;
}
