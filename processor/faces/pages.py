"""Pages for people: the description of all routes, and what a problem means. They load nothing, and run nothing."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from processor.faces.problems import KINDS, Kind
from processor.upstream.words import LANGUAGES, table

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: .9rem/1.4 ui-monospace, monospace; background: var(--soft); border-radius: .2rem; padding: 0 .2rem; }
summary { cursor: pointer; padding: .4rem; }
summary b { display: inline-block; min-width: 4.5rem; }
details { border: 1px solid var(--line); border-radius: .3rem; margin: .3rem 0; }
details > div { padding: 0 1rem 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; }
"""
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_INTRO: Final = """
<p>All routes of this service, made from its <a href="openapi.json">OpenAPI document</a>. Try one with curl:</p>
<pre>curl -s http://127.0.0.1:8080/readyz</pre>
<p>Where the service has tokens, send yours: <code>Authorization: Bearer TOKEN</code>.
An error under <code>/v1</code> is a <a href="#problems">problem</a> with a code, and says what to do.</p>
"""


def page(title: str, body: str, status: int = 200, language: str = "en") -> HTMLResponse:
    """Return a page; `body` is HTML in which nothing comes from a request as it is."""
    text = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><main><h1>{escape(title)}</h1>{body}</main></html>"
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": _POLICY})


def said_page(
    request: Request, status: int, part: str, title: str, words: str, *, link: str | None = None
) -> HTMLResponse:
    """Return a page that says something in the reader's language: names of the words, below `part` of the service's.

    `link`: the words of a link to the service's own page.
    """
    wanted = [each.strip()[:2].lower() for each in request.headers.get("accept-language", "").split(",")]
    language = next((one for one in wanted if one in LANGUAGES), "en")
    said = table(language)["service"][part]
    more = "" if link is None else f'<p><a href="/">{escape(said[link])}</a></p>'
    return page(said[title], f"<p>{escape(said[words])}</p>{more}", status, language)


def documents(openapi: Mapping[str, Any]) -> HTMLResponse:
    """Return the page that shows an OpenAPI document."""
    tags: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["Other"])[0]
            tags.setdefault(tag, []).append("".join(_operation(method, path, operation)))
    sections = [f"<section><h2>{escape(tag)}</h2>{''.join(parts)}</section>" for tag, parts in tags.items()]
    return page(f"{openapi['info']['title']} {openapi['info']['version']}", "".join((
        _INTRO, *sections, "<h2>Shapes</h2>", *_shapes(openapi), '<h2 id="problems">Problems</h2>', _problems(),
    )))  # fmt: skip


def problem_page(code: str, kind: Kind) -> HTMLResponse:
    """Return the page that explains a problem."""
    words = f"<p>{_text(kind.meaning)}</p><p>Code <code>{escape(code)}</code>, status {kind.status}.</p>"
    return page(kind.title, f'{words}<p><a href="../docs#problems">All problems</a></p>')


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    summary = escape(operation.get("summary", ""))
    yield f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {summary}</summary><div>"
    if text := operation.get("description"):
        yield f"<p>{_text(text)}</p>"
    rows = [
        (parameter["name"], parameter["in"], _kind(parameter["schema"]), parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    ]
    yield _table(("parameter", "in", "type", "meaning"), rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body, <code>{escape(kind)}</code>: {_kind(content.get('schema', {}))}</p>"
    answers = [
        (status, ", ".join(answer.get("content", {})), _answered(answer), answer.get("description", ""))
        for status, answer in operation["responses"].items()
    ]
    yield _table(("answer", "as", "type", "meaning"), answers)
    yield "</div></details>"


def _answered(answer: Mapping[str, Any]) -> str:
    return " or ".join(
        dict.fromkeys(_kind(content.get("schema", {})) for content in answer.get("content", {}).values())
    )


def _shapes(openapi: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in openapi.get("components", {}).get("schemas", {}).items():
        required = schema.get("required", ())
        rows = [
            (field, "yes" if field in required else "", _kind(inner), inner.get("description", ""))
            for field, inner in schema.get("properties", {}).items()
        ]
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary><div>'
        yield f"<p>{_text(schema.get('description', ''))}</p>{_table(('field', 'required', 'type', 'meaning'), rows)}"
        yield "</div></details>"


def _problems() -> str:
    rows = [(code, str(kind.status), escape(kind.title), kind.meaning) for code, kind in KINDS.items()]
    return _table(("code", "status", "title", "meaning"), rows)


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a value, as HTML."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(choice) for choice in choices))
    if words := schema.get("enum"):
        return ", ".join(f"<code>{escape(str(word))}</code>" for word in words)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or schema.get("const") or "any"))


def _table(heads: tuple[str, ...], rows: list[tuple[str, str, str, str]]) -> str:
    """Return a table; the third cell of a row is HTML already."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{word}</th>' for word in heads)
    lines = (
        f"<tr><td><code>{escape(first)}</code><td>{escape(second)}<td>{third}<td>{_text(fourth)}"
        for first, second, third, fourth in rows
    )
    return f"<table><tr>{head}{''.join(lines)}</table>"


def _text(text: str) -> str:
    """Return a text of ours as HTML; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
