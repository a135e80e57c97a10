//! The protocol's scripts, ready to run on a world.

use std::collections::BTreeMap;

use posthaste_protocol::{Answer, Invocation, Refusal, scripts};

use crate::{Run, RunError, Script, ScriptError, World};

/// All scripts of the protocol, compiled and held to one slot; some of them perhaps replaced by mutants.
#[derive(Clone, Debug)]
pub struct Scripts(BTreeMap<&'static str, Script>);

/// What a call of a script did.
#[derive(Debug)]
pub struct Called<R> {
    /// The answer, decoded as the store decodes it.
    pub answer: Result<Answer<R>, Refusal>,
    /// The reply as it is, and everything else the run did.
    pub run: Run,
}

impl Scripts {
    /// The scripts as they are in `lua/`.
    ///
    /// # Errors
    /// The first text that is no script.
    pub fn load() -> Result<Self, ScriptError> {
        let texts = scripts::ALL.iter().map(|contract| &**contract.text);
        texts
            .map(|text| Ok((text.name, Script::new(&text.body)?.in_one_slot())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The same scripts, but one of them with another text: a mutant.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn with_text(mut self, name: &'static str, text: &str) -> Result<Self, ScriptError> {
        self.0.insert(name, Script::new(text)?.in_one_slot());
        Ok(self)
    }

    /// Runs a call as it would arrive at the server.
    ///
    /// # Errors
    /// As [`Script::run`].
    pub fn invoke(&self, world: &mut World, call: &Invocation) -> Result<Run, RunError> {
        let script = self.0.get(call.script.name);
        let script =
            script.ok_or_else(|| RunError::Unmodelled(format!("the script {}", call.script.name)))?;
        script.run(world, &call.keys, &call.args)
    }

    /// Makes a call under a request id for a database of this epoch, and reads its answer.
    ///
    /// # Errors
    /// As [`Script::run`].
    pub fn call<S: posthaste_protocol::Script>(
        &self,
        world: &mut World,
        script: &S,
        request: &str,
        epoch: &str,
    ) -> Result<Called<S::Reply>, RunError> {
        let run = self.invoke(world, &script.invoke(request, epoch))?;
        Ok(Called { answer: S::read(request, run.reply.clone().into()), run })
    }
}
