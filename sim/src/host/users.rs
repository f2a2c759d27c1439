//! The users of a node: what they fetch, cancel and put.

use super::*;

impl Host {
    pub(crate) fn fetch(&mut self, plan: Plan, options: SessionOptions<Node>) -> usize {
        self.fetches.push(Fetch::new(plan, options));
        self.fetches.len() - 1
    }

    pub(crate) fn start(&mut self, place: usize, out: &Outside) {
        let now = self.now(out);
        let options = self.fetches[place].options.clone();
        match self.engine(|engine| engine.open_session(options, now)) {
            Ok(session) => {
                self.sessions.insert(session, place);
                self.fetches[place].session = Some(session);
                self.fetches[place].started = Some(out.now);
                self.next_round(place, out);
            }
            Err(error) => out.trace.note(out.now, || format!("no session: {error}")),
        }
    }

    /// Asks for the next blocks that are not in the store already.
    pub(super) fn next_round(&mut self, place: usize, out: &Outside) {
        let now = self.now(out);
        let fetch = &mut self.fetches[place];
        let Some(session) = fetch.session else {
            return;
        };
        let mut round;
        loop {
            round = match fetch.plan.rounds.pop_front() {
                Some(round) => round,
                None => {
                    fetch.finished = Some(out.now);
                    return;
                }
            };
            for wants in &mut round {
                let asked = wants.len();
                let number = |want: &Want| out.block_set.number(&want.cid);
                wants.retain(|want| !number(want).is_some_and(|number| self.store.has(number)));
                fetch.blocks += (asked - wants.len()) as u64;
            }
            round.retain(|wants| !wants.is_empty());
            if !round.is_empty() {
                break;
            }
        }
        fetch.round_began = out.now;
        fetch.outstanding.extend(round.iter().flatten().map(|want| want.cid));
        for wants in round {
            if let Err(error) = self.engine(|engine| engine.want(session, wants, now)) {
                out.trace.note(out.now, || format!("want refused: {error}"));
            }
        }
    }

    /// The user of a fetch no longer wants these blocks.
    pub(crate) fn cancel(&mut self, place: usize, cids: &[Cid], out: &Outside) {
        let now = self.now(out);
        let Some(session) = self.fetches[place].session else {
            return;
        };
        self.engine(|engine| engine.cancel(session, cids.iter().copied(), now));
        let mut complete = false;
        for cid in cids {
            complete |= self.fetches[place].ended(cid, out.now);
        }
        if complete {
            self.next_round(place, out);
        }
    }

    pub(crate) fn close(&mut self, place: usize, out: &Outside) {
        if let Some(session) = self.fetches[place].session.take() {
            self.sessions.remove(&session);
            self.fetches[place].outstanding.clear();
            let now = self.now(out);
            self.engine(|engine| engine.close_session(session, now));
        }
    }

    /// The node comes by a block.
    pub(crate) fn put(&mut self, number: usize, out: &Outside) {
        self.store.insert(number);
        let block = out.block_set.block(number);
        let info = BlockInfo { cid: *block.cid(), size: block.data().len() as u32 };
        let now = self.now(out);
        self.engine(|engine| engine.notify_new_blocks(&[info], now));
    }

    pub(crate) fn release_capacity(&mut self, session: SessionId, bytes: u64, out: &Outside) {
        let now = self.now(out);
        self.engine(|engine| engine.release_capacity(session, bytes, now));
    }
}
