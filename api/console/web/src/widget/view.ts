/** The widget's panel: what was said, the answer as it grows, and where one writes. */

import { Client, recall, Refused, remember, type Said, type Told } from "./client";
import { Answer, made } from "./text";
import type { WidgetWords } from "./words";

const ICONS = {
  chat: "M4 5h16v11H9l-5 4z",
  close: "M6 6l12 12M18 6L6 18",
  again: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
};
const DRAW_EVERY_MS = 50;

export class View {
  readonly root: HTMLElement;
  private readonly launcher: HTMLButtonElement;
  private readonly panel: HTMLElement;
  private readonly heading = made("h2", [], { id: "title" });
  private readonly log = made("div", [], { class: "log", tabindex: "0", role: "log", "aria-live": "off" });
  private readonly status = made("div", [], { class: "said", role: "status" });
  private readonly box: HTMLTextAreaElement;
  private readonly send: HTMLButtonElement;
  private readonly openName: string;
  private loaded = false;
  private answering = false;

  constructor(private readonly client: Client, private readonly w: WidgetWords, key: string, left: boolean) {
    this.openName = `headrace.widget.${key}.open`;
    this.launcher = button("launcher", "chat", w.open);
    this.launcher.setAttribute("aria-expanded", "false");
    this.launcher.onclick = () => void this.open();
    const close = button("", "close", w.close);
    close.onclick = () => this.close();
    const again = button("", "again", w.again);
    again.onclick = () => this.begin();
    this.box = made("textarea", [], { rows: "1", maxlength: "4000", "aria-label": w.message, placeholder: w.message }) as HTMLTextAreaElement;
    this.send = button("", "send", w.send);
    this.send.type = "submit";
    const form = made("form", [this.box, this.send]);
    form.onsubmit = (event) => {
      event.preventDefault();
      if (this.answering) void this.client.stop().catch(() => undefined);
      else void this.ask();
    };
    this.box.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      if (!this.answering) void this.ask();
    };
    this.panel = made("section", [made("header", [this.heading, again, close]), this.log, form], { class: "panel", role: "dialog", "aria-labelledby": "title" });
    this.panel.hidden = true;
    this.panel.onkeydown = (event) => event.key === "Escape" && this.close();
    this.root = made("div", [this.launcher, this.panel, this.status], { class: left ? "root left" : "root" });
    if (recall(this.openName)) void this.open(false);
  }

  private async open(focus = true): Promise<void> {
    this.panel.hidden = false;
    this.launcher.hidden = true;
    this.launcher.setAttribute("aria-expanded", "true");
    this.heading.textContent ||= this.w.title;
    remember(this.openName, "1");
    if (focus) this.box.focus();
    if (!this.loaded) await this.load();
  }

  private close(): void {
    this.panel.hidden = true;
    this.launcher.hidden = false;
    this.launcher.setAttribute("aria-expanded", "false");
    remember(this.openName, "");
    this.launcher.focus();
  }

  /** Shows the greeting and what was said; goes on with an answer that is being written. */
  private async load(): Promise<void> {
    this.loaded = true;
    try {
      const { title, greeting } = await this.client.opened();
      this.heading.textContent = title || this.w.title;
      this.log.replaceChildren(made("div", [greeting || this.w.greeting], { class: "theirs" }));
      if (!this.client.visit) return;
      const { items, answering } = await this.client.said();
      items.forEach((one) => this.add(one));
      this.toEnd();
      if (answering) await this.show((tell) => this.client.follow(tell));
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return this.client.forget();
      this.loaded = false;
      this.note(error instanceof Refused && error.status ? this.refusal(error) : this.w.away, true);
    }
  }

  private begin(): void {
    if (this.answering) void this.client.stop().catch(() => undefined);
    this.client.forget();
    this.log.replaceChildren();
    void this.load();
    this.box.focus();
  }

  private async ask(): Promise<void> {
    const text = this.box.value.trim();
    if (!text) return;
    this.box.value = "";
    const mine = this.add({ role: "user", text, complete: true });
    this.toEnd();
    await this.show((tell) => this.client.ask(text, tell)).catch((error) => {
      mine.remove();
      this.box.value ||= text;
      this.note(this.refusal(error), true);
    });
  }

  private add({ role, text, complete }: Said): HTMLElement {
    const whose = made("span", [role === "user" ? this.w.you : this.w.them], { class: "said" });
    const element = made("div", [], { class: role === "user" ? "mine" : "theirs" });
    if (role === "user") element.append(text);
    else new Answer(element).show(text);
    this.log.append(whose, element);
    if (!complete) this.note(this.w.stopped);
    return element;
  }

  /** Shows an answer as it is told. Throws what stood in the way before anything came. */
  private async show(follow: (tell: (told: Told) => void) => Promise<void>): Promise<void> {
    const conversation = this.log.lastChild;
    const wait = this.note(this.w.waiting);
    const element = made("div", [], { class: "theirs", "aria-busy": "true" });
    const answer = new Answer(element);
    let pieces: [number, string][] = [];
    let [whole, timer, end] = ["", 0, ""];
    const draw = () => {
      timer = 0;
      const near = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
      answer.show(whole || pieces.map(([, text]) => text).join(""));
      if (near) this.toEnd();
    };
    const tell = ({ id, type, data }: Told) => {
      if (type === "delta") pieces.push([Number(id), data.text]);
      if (type === "restarted") pieces = pieces.filter(([place]) => place <= data.discard_after);
      if (type === "completed") whole = data.text;
      if (type === "working") wait.textContent = this.w.working;
      if (["ended", "stopped", "failed"].includes(type)) end = type;
      if ((type === "delta" || type === "completed") && wait.isConnected && !element.isConnected) {
        this.log.insertBefore(element, wait);
        wait.textContent = this.w.answering;
      }
      timer ||= window.setTimeout(draw, DRAW_EVERY_MS);
    };
    this.busy(true);
    this.status.textContent = this.w.answering;
    try {
      await follow(tell);
    } finally {
      clearTimeout(timer);
      draw();
      wait.remove();
      element.removeAttribute("aria-busy");
      this.busy(false);
      this.status.textContent = end ? element.innerText : "";
    }
    if (!conversation?.isConnected) return element.remove(); // a new conversation was begun meanwhile
    if (end === "stopped") this.note(this.w.stopped);
    if (end === "failed") this.note(this.w.failed, true);
  }

  private busy(answering: boolean): void {
    this.answering = answering;
    const label = answering ? this.w.stop : this.w.send;
    this.send.replaceChildren(icon(answering ? "stop" : "send"));
    this.send.setAttribute("aria-label", label);
    this.send.title = label;
  }

  private note(text: string, bad = false): HTMLElement {
    const element = made("p", [text], bad ? { class: "note bad", role: "alert" } : { class: "note" });
    this.log.append(element);
    this.toEnd();
    return element;
  }

  private refusal(error: unknown): string {
    const status = error instanceof Refused ? error.status : -1;
    if (status === 409) return error instanceof Refused && error.code === "session_busy" ? this.w.busy : this.w.tooLong;
    return { 0: this.w.away, 429: this.w.tooMany, 403: this.w.noPage, 404: this.w.noPage }[status] ?? this.w.failed;
  }

  private toEnd(): void {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

function button(name: string, picture: keyof typeof ICONS, label: string): HTMLButtonElement {
  return made("button", [icon(picture)], { type: "button", class: name, "aria-label": label, title: label }) as HTMLButtonElement;
}

function icon(name: keyof typeof ICONS): SVGElement {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  picture.append(path);
  return picture;
}
