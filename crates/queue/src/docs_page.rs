//! The reference page at `/docs`: generated from the OpenAPI description, one plain page that loads nothing.

use std::fmt::Write;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::Reason;
use serde_json::Value;

use crate::problem::Code;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];
const STYLE: &str = include_str!("reference.css");
/// Nothing may be loaded or run; the style sheet is inside the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page as a response.
pub(crate) fn answer(page: String) -> Response {
    let mut response = page.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static(POLICY));
    response
}

/// Generates the page from the description.
pub(crate) fn page(openapi: &str) -> String {
    // The description is our own: if it were not JSON, the page would be empty and a test would fail.
    let api: Value = serde_json::from_str(openapi).unwrap_or_default();
    let mut page = Page { api: &api, out: String::with_capacity(64 * 1024) };
    page.write();
    page.out
}

struct Page<'a> {
    api: &'a Value,
    out: String,
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Escapes for HTML; text in back quotes becomes code.
fn html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let mut out = String::with_capacity(escaped.len());
    for (at, part) in escaped.split('`').enumerate() {
        match at % 2 {
            0 => out.push_str(part),
            _ => out.push_str(&format!("<code>{part}</code>")),
        }
    }
    out
}

fn paragraphs(text: &str) -> String {
    let parts = text.split("\n\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| format!("<p>{}</p>", html(part))).collect()
}

impl<'a> Page<'a> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn write(&mut self) {
        let info = &self.api["info"];
        let title = html(text(info, "title"));
        self.put(&format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}: reference</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n{STYLE}</style>\n</head>\n<body>"
        ));
        let intro = paragraphs(text(info, "description"));
        self.put(&format!(
            "<header><h1>{title} <small>{}</small></h1>{intro}\n<p>Machine-readable version: <a \
             href=\"/openapi.json\">/openapi.json</a>.</p></header>",
            html(text(info, "version"))
        ));
        self.contents();
        let api = self.api;
        for tag in api["tags"].as_array().into_iter().flatten() {
            let name = text(tag, "name");
            self.put(&format!("<h2 id=\"{name}\">{name}</h2>{}", paragraphs(text(tag, "description"))));
            for (path, method, operation) in self.operations(name) {
                self.operation(path, method, operation);
            }
        }
        self.problems();
        self.reasons();
        self.schemas();
        self.put("</body>\n</html>");
    }

    /// Operations of a tag, in the order of the description.
    fn operations(&self, tag: &str) -> Vec<(&'a str, &'static str, &'a Value)> {
        let api = self.api;
        let paths = api["paths"].as_object().into_iter().flatten();
        let all = paths.flat_map(|(path, item)| {
            METHODS.into_iter().filter_map(move |method| Some((path.as_str(), method, item.get(method)?)))
        });
        let tagged = |operation: &Value| {
            operation["tags"].as_array().is_some_and(|tags| tags.iter().any(|one| one.as_str() == Some(tag)))
        };
        all.filter(|(_, _, operation)| tagged(operation)).collect()
    }

    fn contents(&mut self) {
        let mut list = String::from("<nav><ul>");
        for tag in self.api["tags"].as_array().into_iter().flatten() {
            for (path, method, operation) in self.operations(text(tag, "name")) {
                let id = html(text(operation, "operationId"));
                let method = method.to_ascii_uppercase();
                let _ = write!(list, "<li><a href=\"#{id}\"><b>{method}</b> {}</a></li>", html(path));
            }
        }
        list.push_str(
            "<li><a href=\"#problems\">Problems</a></li><li><a href=\"#reasons\">Reasons</a></li>\
             <li><a href=\"#schemas\">Schemas</a></li></ul></nav>",
        );
        self.put(&list);
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        let id = html(text(operation, "operationId"));
        let method = method.to_ascii_uppercase();
        let summary = html(text(operation, "summary"));
        let mut out = format!(
            "<section id=\"{id}\"><h3><b>{method}</b> {}</h3><p class=\"summary\">{summary}</p>{}",
            html(path),
            paragraphs(text(operation, "description"))
        );
        let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
        if !parameters.is_empty() {
            out.push_str("<table><tr><th>parameter</th><th>in</th><th></th></tr>");
            for parameter in parameters {
                let (name, place) = (html(text(parameter, "name")), html(text(parameter, "in")));
                let about = html(text(parameter, "description"));
                let _ = write!(out, "<tr><td><code>{name}</code></td><td>{place}</td><td>{about}</td></tr>");
            }
            out.push_str("</table>");
        }
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            for (media_type, body) in content {
                let _ = write!(out, "<p>Body: {} {}</p>", html(media_type), shape(&body["schema"]));
                out.push_str(&example("Example", &body["example"]));
            }
        }
        out.push_str("<table><tr><th>status</th><th></th><th>body</th></tr>");
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let about = html(text(response, "description"));
            let bodies: Vec<String> = response["content"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(media_type, body)| format!("{} {}", html(media_type), shape(&body["schema"])))
                .collect();
            let bodies = bodies.join("<br>");
            let _ = write!(out, "<tr><td>{}</td><td>{about}</td><td>{bodies}</td></tr>", html(status));
        }
        out.push_str("</table>");
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            for (media_type, body) in response["content"].as_object().into_iter().flatten() {
                out.push_str(&example(&format!("Example of {status}, {media_type}"), &body["example"]));
            }
        }
        out.push_str("</section>");
        self.put(&out);
    }

    fn problems(&mut self) {
        self.put("<h2 id=\"problems\">Problems</h2><table><tr><th>code</th><th>status</th><th></th></tr>");
        for code in Code::ALL {
            let (word, status, title) = (code.word(), code.status().as_u16(), html(code.title()));
            self.put(&format!(
                "<tr id=\"{word}\"><td><code>{word}</code></td><td>{status}</td><td>{title}</td></tr>"
            ));
        }
        self.put("</table>");
    }

    fn reasons(&mut self) {
        self.put(
            "<h2 id=\"reasons\">Reasons</h2><p>Why a delivery has its status, or an address is suppressed. More may be \
             added.</p><table><tr><th>reason</th><th></th></tr>",
        );
        let listed = Reason::ALL.iter().filter(|reason| **reason != Reason::None);
        let provider = Reason::Provider(550);
        for reason in listed.chain([&provider]) {
            let (word, meaning) = (reason.word(), html(reason.meaning().trim()));
            self.put(&format!(
                "<tr id=\"reason-{word}\"><td><code>{word}</code></td><td>{meaning}</td></tr>"
            ));
        }
        self.put("</table>");
    }

    fn schemas(&mut self) {
        self.put("<h2 id=\"schemas\">Schemas</h2>");
        let api = self.api;
        for (name, schema) in api["components"]["schemas"].as_object().into_iter().flatten() {
            let about = paragraphs(text(schema, "description"));
            let mut out = format!("<section id=\"schema-{0}\"><h3>{0}</h3>{about}", html(name));
            let mut members = Vec::new();
            gather(api, schema, &mut members);
            if members.is_empty() {
                let _ = write!(out, "<p>{}</p>", shape(schema));
            } else {
                out.push_str("<table><tr><th>member</th><th>type</th><th></th></tr>");
                for (member, kind, needed) in members {
                    let needed = if needed { " *" } else { "" };
                    let about = html(description_of(kind));
                    let _ = write!(
                        out,
                        "<tr><td><code>{}</code>{needed}</td><td>{}</td><td>{about}</td></tr>",
                        html(member),
                        shape(kind)
                    );
                }
                out.push_str("</table><p class=\"note\">* always present</p>");
            }
            out.push_str("</section>");
            self.put(&out);
        }
    }
}

/// An example of a body to unfold; nothing if there is none.
fn example(title: &str, value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(lines) => lines.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<details><summary>{}</summary><pre>{escaped}</pre></details>", html(title))
}

/// The members of an object, including those of its `allOf` parts.
fn gather<'a>(api: &'a Value, schema: &'a Value, members: &mut Vec<(&'a str, &'a Value, bool)>) {
    let needed = |name: &str| {
        schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)))
    };
    for (name, kind) in schema["properties"].as_object().into_iter().flatten() {
        members.push((name, kind, needed(name)));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let name = part["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let part = name.map_or(part, |name| &api["components"]["schemas"][name]);
        gather(api, part, members);
    }
}

/// The description of a member; for an optional member it is on one of the `oneOf` parts.
fn description_of(schema: &Value) -> &str {
    let parts = schema["oneOf"].as_array().into_iter().flatten();
    let mut reported = std::iter::once(schema).chain(parts).map(|part| text(part, "description"));
    reported.find(|reported| !reported.is_empty()).unwrap_or_default()
}

/// The type of a value in a few words.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", html(name));
    }
    for union in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[union].as_array() {
            return parts.iter().map(shape).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> =
            values.iter().filter_map(Value::as_str).map(|v| format!("<code>{}</code>", html(v))).collect();
        return values.join(", ");
    }
    let of = |kind: &str| match kind {
        "array" => format!("list of {}", shape(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of names to {}", shape(&schema["additionalProperties"]))
        }
        other => html(other),
    };
    match &schema["type"] {
        Value::String(kind) => of(kind),
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).map(of).collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}
