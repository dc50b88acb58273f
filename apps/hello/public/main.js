const find = (id) => document.getElementById(id);
const time = (ms) => (ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(1)} s`);

find("hello").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = encodeURIComponent(find("name").value);
  const start = performance.now();
  try {
    const response = await fetch(`/api/hello?name=${name}`);
    const took = performance.now() - start;
    if (!response.ok) throw new Error(`the app answered ${response.status}`);
    const { message, worker } = await response.json();
    find("answer").textContent = message;
    find("took").textContent = time(took);
    find("awake").textContent = time(worker.awakeMs);
    find("served").textContent = worker.served;
    find("facts").hidden = false;
  } catch (error) {
    find("answer").textContent = `That did not work: ${error.message}`;
  }
});

find("count").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  const numbers = find("numbers");
  numbers.textContent = "";
  try {
    const response = await fetch("/api/count");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      numbers.textContent += piece.value.replaceAll("\n", " ");
    }
  } catch (error) {
    numbers.textContent = `That did not work: ${error.message}`;
  } finally {
    target.disabled = false;
  }
});
