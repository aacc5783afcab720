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

// Where a figure is drawn smaller than it is, a button shows it in full, to be scrolled in its box.
const buttons = [...document.querySelectorAll("figure button")];
const fit = () => buttons.forEach(button => {
  const frame = button.parentElement.querySelector(".frame"), image = frame.querySelector("img");
  button.hidden = !frame.classList.contains("enlarged")
    && image.getBoundingClientRect().width > 0.75 * Number(image.getAttribute("width"));
});
buttons.forEach(button => button.addEventListener("click", () => {
  const large = button.parentElement.querySelector(".frame").classList.toggle("enlarged");
  button.textContent = large ? "fit to page" : "full size";
  button.setAttribute("aria-pressed", large);
}));
addEventListener("load", fit);
addEventListener("resize", fit);
