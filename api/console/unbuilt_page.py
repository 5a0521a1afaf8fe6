"""What `/console/` shows where the console is not built: how to build it, and where to go meanwhile. No script."""

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5b6b7b; --line: #dfe5ea; --paper: #fff; --link: #0b63b3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa7b4; --line: #2c3640; --paper: #11171d; --link: #6cb6ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 40rem; margin: 0 auto; padding: 14vh 1.5rem 3rem; }
h1 { margin: 0; font-size: 1.75rem; letter-spacing: -0.02em; }
p { margin: 0.6rem 0 1.4rem; color: var(--soft); }
ul { list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }
li { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: 0.7rem 0; border-bottom: 1px solid var(--line); }
a { color: var(--link); text-decoration: none; flex: 0 0 12rem; }
a:hover, a:focus { text-decoration: underline; }
li span { color: var(--soft); flex: 1 1 16rem; }
code { font: 0.92em ui-monospace, monospace; }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
UNBUILT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
LINKS = (
    ("../schema/swagger", "API reference", "All routes, fields and errors, to try in the browser."),
    ("../schema/openapi.json", "OpenAPI document", "For client generators."),
    ("../health", "Health", "The state of each part of the system."),
)
ROWS = "\n".join(f'<li><a href="{href}">{title}</a><span>{text}</span></li>' for href, title, text in LINKS)

UNBUILT_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<base href="./">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>headrace: the console is not built</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>The console is not built yet</h1>
<p><code>./headrace up</code> builds it beside its start, in some 20 seconds; then reload this page. By hand, and to see what
went wrong: <code>./headrace console</code>. Everything else works without it.</p>
<ul>
{ROWS}
</ul>
</main>
</body>
</html>
"""
