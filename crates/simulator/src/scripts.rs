//! The protocol's scripts, ready to run on a world.

use std::collections::BTreeMap;

use posthaste_protocol::{Invocation, Refusal, ScriptAnswer, scripts};

use crate::{FakeRedis, ScriptError, ScriptProgram, ScriptRun, ScriptRunError};

/// All scripts of the protocol, compiled and restricted to one slot; some may be replaced by mutants.
#[derive(Clone, Debug)]
pub struct Scripts(BTreeMap<&'static str, ScriptProgram>);

/// The result of a script call.
#[derive(Debug)]
pub struct Called<R> {
    /// The answer, decoded as the store decodes it.
    pub answer: Result<ScriptAnswer<R>, Refusal>,
    /// The raw reply, and everything else the run did.
    pub run: ScriptRun,
}

impl Scripts {
    /// The scripts as they are in `lua/`.
    ///
    /// # Errors
    /// The first text that is not a valid script.
    pub fn load() -> Result<Self, ScriptError> {
        let texts = scripts::ALL.iter().map(|contract| &**contract.text);
        texts
            .map(|text| Ok((text.name, ScriptProgram::new(&text.body)?.in_one_slot())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The same scripts, with the text of one of them replaced: a mutant.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn with_text(mut self, name: &'static str, text: &str) -> Result<Self, ScriptError> {
        self.0.insert(name, ScriptProgram::new(text)?.in_one_slot());
        Ok(self)
    }

    /// Runs a call as it would arrive at the server.
    ///
    /// # Errors
    /// As [`ScriptProgram::run`].
    pub fn invoke(&self, world: &mut FakeRedis, call: &Invocation) -> Result<ScriptRun, ScriptRunError> {
        let script = self.0.get(call.script.name);
        let script =
            script.ok_or_else(|| ScriptRunError::Unmodelled(format!("the script {}", call.script.name)))?;
        script.run(world, &call.keys, &call.args)
    }

    /// Makes a call under a request id for a database of this epoch, and decodes its answer.
    ///
    /// # Errors
    /// As [`ScriptProgram::run`].
    pub fn call<S: posthaste_protocol::ScriptCall>(
        &self,
        world: &mut FakeRedis,
        script: &S,
        request: &str,
        epoch: &str,
    ) -> Result<Called<S::Reply>, ScriptRunError> {
        let run = self.invoke(world, &script.invoke(request, epoch))?;
        Ok(Called { answer: S::read(request, run.reply.clone().into()), run })
    }
}
