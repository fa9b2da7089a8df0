"use strict";
const $ = id => document.getElementById(id);
const examples = {
  "Health": ["{\n  health {\n    status\n    version\n    ongoing\n    uptime\n  }\n}"],
  "Back up": [
    'mutation {\n  backup(input: {destination: "/srv/backups"}) {\n    response {\n      message\n      code\n    }\n    taskId\n  }\n}'],
  "Back up to S3, with variables": [
    "mutation Backup($input: BackupInput!) {\n  backup(input: $input) {\n    response {\n      message\n      code\n    }\n    taskId\n  }\n}",
    '{\n  "input": {\n    "destination": "s3:///bucket/directory",\n    "accessKey": "",\n    "secretKey": "",\n    "forceFull": false\n  }\n}'],
  "What became of a task": [
    'query Task($id: String!) {\n  task(input: {id: $id}) {\n    kind\n    status\n    lastUpdated\n    error\n    progress {\n      op\n      bytes\n      totalBytes\n    }\n    backup {\n      backupId\n      backupNum\n      type\n      bytes\n    }\n  }\n}',
    '{"id": "0x1"}'],
  "List backups": [
    'query {\n  listBackups(input: {location: "/srv/backups"}) {\n    backupId\n    backupNum\n    type\n    path\n    encrypted\n    groups {\n      groupId\n      predicates\n    }\n  }\n}'],
  "Verify": [
    'mutation {\n  verify(input: {location: "/srv/backups", mode: DEEP}) {\n    taskId\n    outcome {\n      ok\n      backups {\n        id\n        problems {\n          object\n          text\n        }\n      }\n    }\n  }\n}'],
  "Restore": [
    'mutation {\n  restore(input: {location: "/srv/backups", backupId: ""}) {\n    message\n    code\n    taskId\n  }\n}'],
  "Groups and predicates": [
    "{\n  state {\n    maxUID\n    maxTxnTs\n    groups {\n      id\n      tablets {\n        predicate\n      }\n    }\n  }\n}"],
  "Plugins": ["{\n  plugins {\n    name\n    kind\n    version\n    schemes\n    state\n    error\n  }\n}"],
};

// object reads what a field holds as JSON; an empty one is an empty object.
function object(id) {
  const text = $(id).value.trim();
  if (!text) return {};
  const v = JSON.parse(text);
  if (v === null || typeof v !== "object" || Array.isArray(v)) throw new Error("not an object");
  return v;
}

async function ask(query, variables, headers) {
  const all = {"Content-Type": "application/json", ...headers};
  if ($("token").value) all["X-Dgraph-AuthToken"] = $("token").value;
  const res = await fetch(location.pathname, {method: "POST", headers: all, body: JSON.stringify({query, variables})});
  const text = await res.text();
  try { return JSON.parse(text); } catch { throw new Error(res.status + " " + text); }
}

let running = false;
async function run() {
  if (running) return;
  let variables, headers;
  for (const id of ["variables", "headers"]) {
    try {
      if (id === "variables") variables = object(id); else headers = object(id);
    } catch (err) {
      $("status").textContent = "The " + id + " are not a JSON object.";
      $(id).focus();
      return;
    }
  }
  running = true;
  $("status").textContent = "...";
  const began = performance.now();
  try {
    const answer = await ask($("query").value, variables, headers);
    $("result").textContent = JSON.stringify(answer, null, 2);
    $("status").textContent = (answer.errors ? "errors" : "ok") + ", " + Math.round(performance.now() - began) + " ms";
  } catch (err) {
    $("result").textContent = String(err);
    $("status").textContent = "no answer";
  }
  running = false;
  if (!documented) explain();
}

// name writes a type as the schema does.
function name(t) {
  if (t.kind === "NON_NULL") return name(t.ofType) + "!";
  if (t.kind === "LIST") return "[" + name(t.ofType) + "]";
  return t.name;
}

function bare(t) { return t.ofType ? bare(t.ofType) : t.name; }

function element(tag, text, cls) {
  const e = document.createElement(tag);
  if (text) e.textContent = text;
  if (cls) e.className = cls;
  return e;
}

const typeRef = "kind name ofType{kind name ofType{kind name ofType{kind name}}}";
const introspection = `{__schema{queryType{name} mutationType{name} types{kind name description enumValues{name description}
  inputFields{name description type{${typeRef}}} fields{name description args{name type{${typeRef}}} type{${typeRef}}}}}}`;

let documented = false;
let types = {};
async function explain() {
  try {
    const schema = (await ask(introspection, {}, {})).data.__schema;
    documented = true;
    $("docs").replaceChildren();
    for (const t of schema.types) types[t.name] = t;
    for (const root of [schema.queryType.name, schema.mutationType.name]) {
      const d = describe(types[root], true);
      d.open = true;
      $("docs").append(d);
    }
    for (const t of schema.types) {
      if (!t.name.startsWith("__") && t.name !== schema.queryType.name && t.name !== schema.mutationType.name) $("docs").append(describe(t, false));
    }
  } catch {
    $("docs").replaceChildren(element("p", "The schema is not to be had yet: give the token, and run something."));
  }
}

// describe makes an entry, whose fields are there when it is opened for the first time.
function describe(t, root) {
  const d = element("details");
  d.dataset.words = [t.name, ...(t.fields || []).map(f => f.name), ...(t.inputFields || []).map(f => f.name)].join(" ").toLowerCase();
  d.append(element("summary", t.name, root ? "" : "type"));
  let filled = false;
  d.addEventListener("toggle", () => {
    if (filled || !d.open) return;
    filled = true;
    const box = element("div");
    if (t.description) box.append(element("p", t.description));
    for (const f of t.fields || []) box.append(field(f));
    for (const f of t.inputFields || []) box.append(field(f));
    for (const v of t.enumValues || []) box.append(line(v.name, "", v.description));
    d.append(box);
  });
  return d;
}

function line(text, type, description) {
  const box = element("div", "", "field");
  box.append(text);
  if (type) box.append(": ", element("span", type, "type"));
  if (description) box.append(element("p", description));
  return box;
}

function field(f) {
  const args = (f.args || []).map(a => a.name + ": " + name(a.type)).join(", ");
  const inner = [...(f.args || []).map(a => a.type), f.type].map(bare).filter(n => types[n] && types[n].kind !== "SCALAR");
  if (!inner.length) return line(f.name, name(f.type), f.description);
  const d = element("details");
  const s = element("summary", f.name + (args ? "(" + args + ")" : "") + ": ");
  s.append(element("span", name(f.type), "type"));
  d.append(s);
  d.addEventListener("toggle", () => {
    if (d.open && d.childElementCount === 1) {
      const box = element("div");
      if (f.description) box.append(element("p", f.description));
      for (const n of new Set(inner)) box.append(describe(types[n], false));
      d.append(box);
    }
  });
  return d;
}

for (const title of Object.keys(examples)) $("examples").append(new Option(title));
function example() {
  const [query, variables] = examples[$("examples").value];
  $("query").value = query;
  $("variables").value = variables || "";
}
example();
$("examples").addEventListener("change", example);
$("run").addEventListener("click", run);
$("token").addEventListener("change", () => { if (!documented) explain(); });
$("search").addEventListener("input", () => {
  const word = $("search").value.trim().toLowerCase();
  for (const d of $("docs").children) d.hidden = !(d.dataset.words || "").includes(word);
});
document.addEventListener("keydown", e => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
    e.preventDefault();
    run();
  }
});
explain();
