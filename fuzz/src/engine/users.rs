//! What stands between an engine under fuzz and its host: a fault, if one is planted, and the model of
//! what local users must see, which sees the calls before the fault and the outputs after it.

use bitswap_core::{Engine, Output};
use bitswap_testing::{Call, Interceptor, Reply};

use super::{Model, Peer};

/// A model of the users, and what is between their host and the engine.
#[derive(Default)]
pub struct Users<'a> {
    fault: Option<&'a mut dyn Interceptor<Peer>>,
    model: Model,
    /// The call whose reply is awaited.
    call: Option<Call<Peer>>,
}

impl std::fmt::Debug for Users<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<'a> Users<'a> {
    /// Users whose host has this between itself and its engine.
    pub fn behind(fault: &'a mut dyn Interceptor<Peer>) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// What the users wait for.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }
}

impl Interceptor<Peer> for Users<'_> {
    fn call(&mut self, call: Call<Peer>) -> Option<Call<Peer>> {
        self.call = Some(call.clone());
        match &mut self.fault {
            Some(fault) => fault.call(call),
            None => Some(call),
        }
    }

    fn replied(&mut self, reply: Reply) {
        if let Some(call) = self.call.take() {
            self.model.call(&call, reply);
        }
    }

    fn output(&mut self, output: Output<Peer>, passed: &mut Vec<Output<Peer>>) {
        let before = passed.len();
        match &mut self.fault {
            Some(fault) => fault.output(output, passed),
            None => passed.push(output),
        }
        passed[before..].iter().for_each(|output| self.model.output(output));
    }

    fn drained(&mut self, engine: &Engine<Peer>) {
        self.model.rest(|session, cid| engine.diagnose(session, cid).is_some());
    }
}
