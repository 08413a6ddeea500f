// The page: which tenant, its documents, its migration. Uploads are in upload.js.
import { call, show, size } from "/page/call.js";
import { Uploads } from "/page/upload.js";

const PHASES = {
  null: "in the shared bucket", planned: "planned", provisioned: "copying", copied: "copied", verified: "verified",
  cut_over: "moving", completed: "migrated", finished: "migrated", rolled_back: "rolled back",
};
const $ = (id) => document.getElementById(id);
let tenants = [];
let uploads = null;

const slug = () => $("tenants").value;
const base = (path = "") => `/api/${encodeURIComponent(slug())}/${path}`;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function tool(text, name, work, kind = "") {
  const button = element("button", { type: "button", className: `plain ${kind}`, textContent: text });
  button.setAttribute("aria-label", `${text}: ${name}`);
  button.onclick = () => show(async () => { await work(); await refresh(); });
  return button;
}

function documentRow(found) {
  const path = `documents/${encodeURIComponent(found.document_id)}`;
  const details = found.key ? `${size(found.size ?? 0)} · ${found.bucket ?? "the shared bucket"}` : "deleted";
  const tools = element("div", { className: "tools" });
  if (found.key) {
    if (/\.(pdf|txt|png|jpe?g)$/i.test(found.name)) tools.append(tool("Preview", found.name, () => preview(found, path)));
    tools.append(
      tool("Download", found.name, async () => { location.href = (await call("GET", base(`${path}/url`))).url; }),
      tool("Delete", found.name, () => call("DELETE", base(path)), "danger"),
    );
  } else {
    tools.append(tool("Undelete", found.name, () => call("POST", base(`${path}/undelete`))));
  }
  const name = element("div", { className: "name" }, element("b", { textContent: found.name }),
    element("span", { className: "quiet", textContent: details }));
  return element("li", { className: found.key ? "" : "deleted" }, name, tools);
}

async function preview(found, path) {
  $("preview-name").textContent = found.name;
  $("frame").src = (await call("GET", base(`${path}/url?inline=true`))).url;
  $("preview").showModal();
}

async function refresh() {
  const [found, usage] = await Promise.all([call("GET", base("documents?limit=1000")), call("GET", base("usage"))]);
  const rows = found.filter((each) => !uploads.isOpen(each.document_id));
  $("documents").replaceChildren(...rows.reverse().map(documentRow));
  $("empty").hidden = rows.length > 0;
  const most = usage.max_bytes;
  $("used").textContent = `${usage.documents} documents, ${size(usage.bytes)}${most ? ` of ${size(most)}` : ""}`;
  $("quota").hidden = !most;
  $("quota").value = most ? (usage.bytes + usage.reserved_bytes) / most : 0;
}

function showTenant() {
  const tenant = tenants.find((each) => each.slug === slug());
  const isHome = ["cut_over", "completed", "finished"].includes(tenant.phase);
  $("place").textContent = tenant.name;
  $("bucket").textContent = isHome ? `Its own bucket: ${tenant.bucket}` : "Shares a bucket with other tenants";
  const left = tenant.phase === "cut_over" && !tenant.is_running ? `${tenant.migrated} of ${tenant.total} migrated` : "";
  $("phase").textContent = left || (tenant.is_running && !isHome ? "migrating" : PHASES[tenant.phase] ?? tenant.phase);
  $("move").textContent = isHome ? "Roll back" : "Migrate";
  $("move").disabled = tenant.is_running;
  $("moved").hidden = !tenant.is_running;
  $("moved").max = tenant.total || 1;
  $("moved").value = tenant.migrated;
}

async function watch() {
  const before = JSON.stringify(tenants);
  tenants = await call("GET", "/api/tenants");
  if (!$("tenants").options.length) {
    $("tenants").append(...tenants.map((each) => element("option", { value: each.slug, textContent: each.name })));
    $("tenants").value = tenants.some((each) => each.slug === location.hash.slice(1)) ? location.hash.slice(1) : tenants[0].slug;
    await choose();
  }
  showTenant();
  if (before !== JSON.stringify(tenants) && uploads) await refresh();
}

async function choose() {
  location.hash = slug();
  uploads?.close();
  uploads = new Uploads({ base, list: $("uploads"), changed: refresh });
  showTenant();
  await refresh();
  await uploads.restore();
}

$("tenants").onchange = () => show(choose);
$("move").onclick = () => show(async () => {
  const tenant = tenants.find((each) => each.slug === slug());
  const isHome = ["cut_over", "completed", "finished"].includes(tenant.phase);
  if (isHome && !confirm(`Return ${tenant.name} to the shared bucket? Nothing is lost.`)) return;
  await call("POST", base(isHome ? "rollback" : "migrate"));
  await watch();
});
$("files").onchange = (event) => show(() => uploads.add([...event.target.files]).finally(() => { event.target.value = ""; }));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") show(() => uploads.add([...event.dataTransfer.files]));
  });
}
$("close").onclick = () => $("preview").close();
$("preview").onclose = () => { $("frame").src = "about:blank"; };

await show(watch);
setInterval(() => show(watch), 1000);
