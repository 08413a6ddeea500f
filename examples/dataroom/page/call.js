// Requests to this server, and what goes wrong in them.
export async function call(method, path, json) {
  const answer = await fetch(path, {
    method, headers: json ? { "content-type": "application/json" } : {}, body: json && JSON.stringify(json),
  });
  const told = [202, 204].includes(answer.status) ? null : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.message ?? told.detail ?? `HTTP ${answer.status}`), told);
  return told;
}

const notice = document.getElementById("notice");
let closing;

export function tell(text) {
  notice.textContent = text;
  notice.hidden = !text;
  clearTimeout(closing);
  closing = setTimeout(() => { notice.hidden = true; }, 8000);
}

export async function show(work) {
  try {
    return await work();
  } catch (error) {
    tell(error instanceof TypeError ? "The server cannot be reached. The page tries again." : error.message);
  }
}

export function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = bytes ? Math.min(Math.floor(Math.log2(bytes) / 10), 4) : 0;
  const value = bytes / 1024 ** step;
  return `${value >= 10 || step === 0 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}
