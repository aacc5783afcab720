const label = document.getElementById("filter");
const rows = [...document.querySelectorAll("#all-scores tbody tr")];
const texts = rows.map(row => [...row.cells].slice(0, 4).map(cell => cell.textContent).join(" ").toLowerCase());
label.hidden = false;
label.querySelector("input").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  rows.forEach((row, i) => {
    const own = texts[i].split(/\s+/);
    row.hidden = !words.every(word => own.some(text => isNaN(word) ? text.includes(word) : text === word));
  });
});
