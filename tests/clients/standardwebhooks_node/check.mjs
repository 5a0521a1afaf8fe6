// Receives what headrace sends, and verifies it with npm's `standardwebhooks`: 1,000 messages about ended jobs, with both secrets
// while one is rotated. What was tampered with, is stale or signed with another secret must be refused.
import assert from "node:assert/strict"
import http from "node:http"
import { randomBytes } from "node:crypto"
import { Webhook } from "standardwebhooks"

const { HEADRACE_URL, HEADRACE_API_KEY } = process.env
const JOBS = Number(process.env.JOBS ?? 1000)

async function call(method, path, body, headers = {}) {
  const response = await fetch(HEADRACE_URL + path, {
    method,
    headers: { Authorization: `Bearer ${HEADRACE_API_KEY}`, "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  })
  const text = await response.text()
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`)
  return text && JSON.parse(text)
}

const received = []
let more = () => {}
const server = http.createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8")
  request.on("data", (piece) => (body += piece))
  request.on("end", () => {
    received.push({ body, headers: request.headers })
    response.writeHead(204).end()
    more()
  })
})
await new Promise((done) => server.listen(0, "127.0.0.1", done))
const url = `http://127.0.0.1:${server.address().port}/hook`

async function until(count) {
  while (received.length < count) await new Promise((done) => (more = done))
}

async function submit(count) {
  let next = 0
  const lane = async () => {
    while (next++ < count) {
      await call("POST", "/api/chat", { message: "hi", model: "openai/text-1" }, { Prefer: "respond-async" })
    }
  }
  await Promise.all(Array.from({ length: 10 }, lane))
}

const endpoint = await call("POST", "/api/webhooks", { url, events: ["job.succeeded"] })
await submit(JOBS - Math.floor(JOBS / 10))
const rotated = await call("POST", `/api/webhooks/${endpoint.id}/rotate-secret`)
await submit(Math.floor(JOBS / 10))
await until(JOBS)

const [former, current] = [new Webhook(endpoint.secret), new Webhook(rotated.secret)]
const ids = new Set()
let both = 0
for (const { body, headers } of received) {
  const said = former.verify(body, headers) // the former secret signs for another day
  assert.equal(said.type, "job.succeeded")
  ids.add(headers["webhook-id"])
  if (headers["webhook-signature"].includes(" ")) {
    current.verify(body, headers)
    both++
  }
}
assert.equal(ids.size, JOBS)
assert.ok(both >= Math.floor(JOBS / 10), `${both} were signed with both secrets`)

const { body, headers } = received.at(-1)
const stale = String(Number(headers["webhook-timestamp"]) - 360)
const refused = [
  [body + " ", headers],
  [body, { ...headers, "webhook-id": headers["webhook-id"] + "0" }],
  [body, { ...headers, "webhook-timestamp": stale }],
  [body, { ...headers, "webhook-signature": headers["webhook-signature"].replace(/v1,../g, "v1,AA") }],
]
for (const [changed, said] of refused) assert.throws(() => current.verify(changed, said))
assert.throws(() => new Webhook("whsec_" + randomBytes(32).toString("base64")).verify(body, headers))

await call("DELETE", `/api/webhooks/${endpoint.id}`)
server.close()
console.log(`${received.length} messages verified, ${both} of them with both secrets, ${refused.length + 1} refused`)
