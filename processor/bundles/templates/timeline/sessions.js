// The page of a root: its sessions in the reader's language and time zone.

const data = JSON.parse(byId("data").textContent);
chooseLanguage(data.words);
translate();
document.title = page("sessions_title");
document.querySelectorAll("tbody tr").forEach((row, index) => {
  data.rows[index].forEach((cell, column) => {
    const place = row.cells[column].querySelector("a") || row.cells[column];
    place.textContent = cell ? fill({ phrase: cell[0], values: cell[1] }) : "";
    row.cells[column].dataset.name = document.querySelectorAll("thead th")[column].textContent;
  });
});
