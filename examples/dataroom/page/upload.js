// Uploads with Uppy, straight to S3. The server grants each one, signs its requests, and confirms it. Files that were on their way
// when the page was closed are kept in IndexedDB, and go on with the parts that are missing.
import { call, size, tell } from "/page/call.js";
import { AwsS3, Uppy } from "/page/uppy.js";

const MIB = 1024 * 1024;
const CHECKED_BYTES = 64 * MIB;

export class Uploads {
  constructor({ base, list, changed }) {
    this.base = base; this.list = list; this.changed = changed;
    this.prefix = base();                                     // of this tenant: `base` follows the choice
    this.lines = new Map();
    this.list.replaceChildren();
    this.uppy = new Uppy({ autoProceed: true, allowMultipleUploadBatches: true }).use(AwsS3, {
      shouldUseMultipart: (file) => file.size > 8 * MIB,      // as grants are
      getChunkSize: (file) => Math.max(8, Math.ceil(file.size / 10_000 / MIB)) * MIB,
      generateObjectKey: (file) => file.meta.key,
      signRequest: async (request) => {
        const sign = new URL(`${this.prefix}uploads/${request.key.split("/")[1]}/sign`, location.href);
        const signed = await call("POST", sign, request);
        return { ...signed, url: new URL(signed.url, sign).href };
      },
    });
    this.uppy.addPreProcessor((ids) => Promise.all(ids.map((id) => this.#prepare(id))));
    this.uppy.addPostProcessor((ids) => Promise.all(ids.map((id) => this.#confirm(id))));
    this.uppy.on("upload-progress", (file, progress) => this.#draw(file.id, progress));
    this.uppy.on("upload-error", (file, error) => this.#fail(file.id, error.message));
  }

  async add(files, kept = {}) {
    for (const file of files) {
      const id = this.uppy.addFile({ name: file.name, type: file.type, data: file, meta: { ...kept, added: crypto.randomUUID() } });
      this.#line(id, file);
      if (kept.uploadId) this.uppy.setFileState(id, { s3Multipart: { uploadId: kept.uploadId, key: kept.key } });
    }
  }

  async restore() {
    for (const kept of await store("readonly", (files) => files.getAll())) {
      if (kept.prefix !== this.prefix) continue;
      try {
        const grant = await call("GET", `${this.prefix}uploads/${kept.grant}`);
        await this.add([kept.file], { grant: kept.grant, key: grant.key, uploadId: grant.upload_id, document_id: kept.document_id });
      } catch (error) {                                       // it expired, or was confirmed before the page was closed
        await this.#forget(kept.grant);
        if (error.error !== "grant_expired") tell(error.message);
      }
    }
  }

  isOpen(documentId) {
    return this.uppy.getFiles().some((file) => file.meta.document_id === documentId);
  }

  close() {
    this.uppy.pauseAll();                                     // what is on its way is kept, and goes on when the tenant is chosen again
  }

  async #prepare(id) {
    const file = this.uppy.getFile(id);
    if (!file || file.meta.grant) return;                     // it is resumed
    try {
      const { document_id } = await call("POST", `${this.prefix}rows`, { name: file.name, content_type: file.type, size: file.size });
      this.uppy.setFileMeta(id, { document_id });
      const checksum = file.size > CHECKED_BYTES ? undefined : await sha256(file.data);
      const grant = await call("POST", `${this.prefix}uploads`, {
        document_id, name: file.name, size: file.size, content_type: file.type, checksum,
      });
      this.uppy.setFileMeta(id, { grant: grant.grant_id, key: grant.key });
      await store("readwrite", (files) => files.put({ grant: grant.grant_id, prefix: this.prefix, document_id, file: file.data }));
    } catch (error) {
      await this.#giveUp(id, error.message);
    }
  }

  async #confirm(id) {
    const file = this.uppy.getFile(id);
    if (!file || file.error || !file.progress.uploadComplete) return;
    try {
      await call("POST", `${this.prefix}uploads/${file.meta.grant}/confirm`);
    } catch (error) {
      return this.#giveUp(id, error.message);
    }
    await this.#forget(file.meta.grant);
    this.uppy.removeFile(id);
    this.lines.get(id)?.item.remove();
    await this.changed();
  }

  async #giveUp(id, reason) {
    const { grant, document_id } = this.uppy.getFile(id).meta;
    this.uppy.removeFile(id);
    if (grant) {
      await call("DELETE", `${this.prefix}uploads/${grant}`).catch(() => null);
      await this.#forget(grant);
    }
    if (document_id) await call("DELETE", `${this.prefix}rows/${document_id}`).catch(() => null);
    if (reason) this.#fail(id, reason); else this.lines.get(id)?.item.remove();
    await this.changed();
  }

  #line(id, file) {
    const make = (name, properties) => Object.assign(document.createElement(name), properties);
    const item = make("li", {}), name = make("div", { className: "name" }), tools = make("div", { className: "tools" });
    const details = make("span", { className: "quiet", textContent: `0 % of ${size(file.size)}` });
    const bar = make("progress", { max: 1, value: 0 });
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    const pause = make("button", { type: "button", className: "plain", hidden: file.size <= 8 * MIB });
    const cancel = make("button", { type: "button", className: "plain danger" });
    const rename = (button, text) => {
      button.textContent = text;
      button.setAttribute("aria-label", `${text}: ${file.name}`);
    };
    rename(pause, "Pause");
    rename(cancel, "Cancel");
    pause.onclick = () => rename(pause, this.uppy.pauseResume(id) ? "Resume" : "Pause");
    cancel.onclick = () => (this.uppy.getFile(id) ? this.#giveUp(id) : item.remove());
    name.append(make("b", { textContent: file.name }), details);
    tools.append(pause, cancel);
    item.append(name, tools, bar);
    this.list.append(item);
    this.lines.set(id, { item, details, bar, pause, dismissible: () => rename(cancel, "Dismiss") });
  }

  #draw(id, { bytesUploaded, bytesTotal }) {
    const line = this.lines.get(id);
    if (!line || !bytesTotal) return;
    line.bar.value = bytesUploaded / bytesTotal;
    line.details.textContent = `${Math.floor((100 * bytesUploaded) / bytesTotal)} % of ${size(bytesTotal)}`;
  }

  #fail(id, reason) {
    const line = this.lines.get(id);
    if (!line) return;
    line.item.className = "failed";
    line.details.textContent = reason;
    line.bar.hidden = line.pause.hidden = true;
    line.dismissible();
  }

  #forget(grant) {
    return store("readwrite", (files) => files.delete(grant));
  }
}

async function sha256(blob) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return { algorithm: "sha256", value: btoa(String.fromCharCode(...digest)) };
}

function store(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("dataroom", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("files", { keyPath: "grant" });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const request = work(opening.result.transaction("files", mode).objectStore("files"));
      request.onsuccess = () => { resolve(request.result); opening.result.close(); };
      request.onerror = () => { reject(request.error); opening.result.close(); };
    };
  });
}
