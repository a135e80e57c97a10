//! The frame of the pages: headers, style, and HTML escaping.

use std::fmt::Write as _;

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Blocks scripts, framing by other sites, forms to other sites and external images.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "\
    :root{color-scheme:light dark;--line:#ddd;--soft:#f5f5f5;--quiet:#595959;--link:#0b57d0;--bad:#b3261e;--good:#176b2c}\
    @media(prefers-color-scheme:dark){:root{--line:#444;--soft:#222;--quiet:#aaa;--link:#8ab4f8;--bad:#f2b8b5;--good:#8fd8a0}\
    body{color:#eee;background:#161616}}\
    body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}\
    h1{margin:0 0 .5rem}table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;padding:.35rem 1rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
    th{font-weight:600;white-space:nowrap}td{overflow-wrap:anywhere}.fit{white-space:nowrap;width:1%}\
    pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);padding:1rem}\
    iframe{width:100%;height:30rem;border:1px solid var(--line);background:#fff}\
    a{color:var(--link)}.quiet{color:var(--quiet)}.bad{color:var(--bad)}.good{color:var(--good)}\
    nav{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:1rem 0}nav a[aria-current]{font-weight:600;color:inherit;\
    text-decoration:none}form{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;margin:1rem 0}\
    input,button,select{font:inherit;padding:.2rem .5rem}details{margin:.75rem 0}summary{cursor:pointer}\
    .to{min-width:9rem}th:first-child:not(thead th){width:12rem}\
    @media(max-width:48rem){.rows thead{display:none}.rows tr{display:block;padding:.5rem 0;border-bottom:1px solid \
    var(--line)}.rows td{display:block;border:0;padding:.1rem 0;width:auto}.rows .fit{display:inline-block;\
    padding-right:1rem;color:var(--quiet)}}\
    .bubble{background:var(--soft);border-radius:.75rem;padding:.75rem 1rem;max-width:36rem;white-space:pre-wrap;\
    overflow-wrap:anywhere}";

/// A complete page.
pub(super) fn html(title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page).into_response()
}

pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control characters have no meaning in a page, and some confuse browsers.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

pub(super) fn percent(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@*".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}
