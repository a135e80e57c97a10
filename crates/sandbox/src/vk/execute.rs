//! The code of `execute`, as far as couriers write it: one call, or a flat list of calls, each with a JSON object.

use serde_json::Value;

use super::errors::Failure;

/// Most calls per `execute`.
const MOST_CALLS: usize = 25;

/// A call of a method.
#[derive(Debug, PartialEq)]
pub(super) struct Inner {
    pub(super) method: String,
    pub(super) parameters: Value,
}

/// The calls of a program, and whether it returns a list.
#[derive(Debug, PartialEq)]
pub(super) struct Program {
    pub(super) calls: Vec<Inner>,
    pub(super) is_list: bool,
}

/// Parses a program.
///
/// Code outside this subset does not compile: error 12. More than 25 calls compile and fail at run time: error 13.
pub(super) fn compile(code: &str) -> Result<Program, Failure> {
    let mut reader = Reader(code.trim());
    let program = reader.program().ok_or_else(|| {
        let at = code.len() - reader.0.len();
        Failure::because(
            12,
            &format!("only return [API.messages.send({{…}}), …]; is run here; stopped at byte {at}"),
        )
    })?;
    if program.calls.len() > MOST_CALLS {
        return Err(Failure::because(13, "too many api calls"));
    }
    Ok(program)
}

/// The rest to be parsed.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn program(&mut self) -> Option<Program> {
        self.word("return")?;
        let mut calls = Vec::new();
        let is_list = self.word("[").is_some();
        if !is_list {
            calls.push(self.call()?);
        } else if self.word("]").is_none() {
            loop {
                calls.push(self.call()?);
                if self.word("]").is_some() {
                    break;
                }
                self.word(",")?;
                // A trailing comma is allowed.
                if self.word("]").is_some() {
                    break;
                }
            }
        }
        let _ = self.word(";");
        self.0.is_empty().then_some(Program { calls, is_list })
    }

    fn call(&mut self) -> Option<Inner> {
        self.word("API.")?;
        let length = self.0.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))?;
        let (method, rest) = self.0.split_at(length);
        let method = method.to_owned();
        self.0 = rest;
        self.word("(")?;
        let parameters =
            if self.0.starts_with(')') { Value::Object(serde_json::Map::new()) } else { self.object()? };
        self.word(")")?;
        Some(Inner { method, parameters })
    }

    fn object(&mut self) -> Option<Value> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<Value>();
        let value = values.next()?.ok().filter(Value::is_object)?;
        self.0 = self.0.get(values.byte_offset()..)?.trim_start();
        Some(value)
    }

    /// Consumes a word and the space after it.
    fn word(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?.trim_start();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_calls_are_read_whatever_their_texts_hold() {
        let text = "\"}), API.messages.send({ ]; // \u{2028} \\";
        let parameters = json!({ "peer_ids": "1,2", "message": text });
        let code = format!("return [API.messages.send({parameters}),\n API.messages.send({parameters})];");
        let program = compile(&code).unwrap();
        assert_eq!((program.calls.len(), program.is_list), (2, true));
        assert_eq!(program.calls[1].parameters["message"], text);
        let one = compile("return API.users.get();").unwrap();
        assert_eq!((one.calls[0].method.as_str(), one.is_list), ("users.get", false));
        assert_eq!(compile("return []").unwrap().calls, []);
    }

    #[test]
    fn unsupported_code_does_not_compile_and_too_many_calls_do_not_run() {
        for code in [
            "",
            "return",
            "return [API.messages.send({]);",
            "return [API.messages.send({}) API.messages.send({})];",
            "return [API.messages.send([])];",
            "return [API.messages.send({})]; return 1;",
            "var i = 0; while (i < 9) { API.messages.send({}); }",
        ] {
            assert_eq!(compile(code).unwrap_err().code, 12, "{code}");
        }
        let many = vec!["API.messages.send({})"; 26].join(",");
        assert_eq!(compile(&format!("return [{many}];")).unwrap_err().code, 13);
    }

    /// The JSON parser stops at 128 levels; the rest of the language has no nesting.
    #[test]
    fn programs_within_programs_do_not_compile() {
        for levels in [2 * 128, 1_000_000] {
            for (open, close) in
                [("{\"a\":", "}"), ("{\"a\":[", "]}"), ("API.messages.send(", ")"), ("[", "]")]
            {
                let (open, close) = (open.repeat(levels), close.repeat(levels));
                for code in [
                    format!("return [API.messages.send({open}1{close})];"),
                    format!("return {open}{close};"),
                    format!("return {open}"),
                ] {
                    assert_eq!(compile(&code).unwrap_err().code, 12, "{levels} {}", &code[..40]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_for_it(code in ".{0,200}", inner in "[\\[\\]{}(),;:\"\\\\a-z. ]{0,100}") {
            let _ = compile(&code);
            let _ = compile(&format!("return [API.messages.send({inner})];"));
        }
    }
}
