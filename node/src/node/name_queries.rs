//! Records of names on their way in the DHT.

use std::collections::HashMap;
use std::time::SystemTime;

use futures::channel::oneshot;
use libp2p::kad::{GetRecordError, GetRecordOk, QueryId, QueryResult, QueryStats, Quorum, Record};

use super::Node;
use super::dht::Kad;
use super::driver::Driver;
use crate::error::NodeClosed;
use crate::names::{DhtFault, IpnsName, IpnsRecord, Names};
use crate::runtime::Runtime as _;
use crate::trace::log;

/// Records after which a lookup ends: so many nodes that agree or not are enough.
const RECORDS_ENOUGH: usize = 16;

/// Lookups and publications on their way, and who waits for them.
#[derive(Default)]
pub(super) struct NameQueries(HashMap<QueryId, NameQuery>);

enum NameQuery {
    Find { name: IpnsName, best: Option<Box<IpnsRecord>>, seen: usize, reply: Found },
    Store(oneshot::Sender<bool>),
}

type Found = oneshot::Sender<Result<Option<IpnsRecord>, DhtFault>>;

impl NameQueries {
    fn find(&mut self, kad: &mut Kad, name: IpnsName, reply: Found) {
        let query = kad.get_record(name.routing_key().into());
        self.0.insert(query, NameQuery::Find { name, best: None, seen: 0, reply });
    }

    fn store(&mut self, kad: &mut Kad, record: &IpnsRecord, reply: oneshot::Sender<bool>) {
        let record = Record::new(record.name().routing_key(), record.bytes().to_vec());
        match kad.put_record(record, Quorum::One) {
            Ok(query) => {
                self.0.insert(query, NameQuery::Store(reply));
            }
            Err(error) => {
                log!(warn, "a record cannot be published", error = error);
                // Whoever asked may have gone, here and below.
                let _ = reply.send(false);
            }
        }
    }

    /// Something happened to a query; false if it is none of these.
    pub(super) fn event(
        &mut self,
        kad: &mut Kad,
        id: QueryId,
        result: &QueryResult,
        stats: &QueryStats,
        is_last: bool,
    ) -> bool {
        match self.0.get_mut(&id) {
            None => return false,
            Some(NameQuery::Store(_)) => {}
            Some(NameQuery::Find { name, best, seen, .. }) => {
                if let QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) = result {
                    *seen += 1;
                    match IpnsRecord::read(*name, &found.record.value, SystemTime::now()) {
                        Ok(record) if best.as_ref().is_none_or(|best| record.supersedes(best)) => {
                            *best = Some(Box::new(record));
                        }
                        Ok(_) => {}
                        Err(fault) => {
                            log!(debug, "a record is none", name = name, fault = fault);
                        }
                    }
                    if *seen >= RECORDS_ENOUGH
                        && let Some(mut query) = kad.query_mut(&id)
                    {
                        query.finish();
                    }
                }
            }
        }
        if is_last {
            match self.0.remove(&id) {
                Some(NameQuery::Find { best, reply, .. }) => {
                    let is_timeout = matches!(
                        result,
                        QueryResult::GetRecord(Err(GetRecordError::Timeout { .. }))
                    );
                    let found = match best {
                        Some(record) => Ok(Some(*record)),
                        // Whoever has it may be among those that have not answered.
                        None if is_timeout || stats.num_successes() == 0 => {
                            Err(DhtFault::Unreachable)
                        }
                        None => Ok(None),
                    };
                    let _ = reply.send(found);
                }
                Some(NameQuery::Store(reply)) => {
                    let _ = reply.send(matches!(result, QueryResult::PutRecord(Ok(_))));
                }
                None => {}
            }
        }
        true
    }
}

impl Driver {
    fn name_query(
        &mut self,
        start: impl FnOnce(&mut NameQueries, &mut Kad),
    ) -> Result<(), DhtFault> {
        let kad = self.swarm.behaviour_mut().dht.as_mut();
        let (Some(dht), Some(kad)) = (&mut self.dht, kad) else { return Err(DhtFault::NoDht) };
        start(dht.names(), kad);
        Ok(())
    }
}

impl Node {
    /// What names stand for, as far as that is known.
    pub(crate) fn names(&self) -> &Names {
        &self.shared.names
    }

    /// The TXT records of a domain.
    pub(crate) async fn texts(&self, domain: String) -> std::io::Result<Vec<String>> {
        self.shared.runtime.texts(domain, self.shared.dns_server).await
    }

    /// The latest record of a name that anybody in the DHT has; `None` if those who answered have none.
    pub(crate) async fn find_record(
        &self,
        name: IpnsName,
    ) -> Result<Result<Option<IpnsRecord>, DhtFault>, NodeClosed> {
        let (reply, found) = oneshot::channel();
        let start =
            move |driver: &mut Driver| driver.name_query(|all, kad| all.find(kad, name, reply));
        match self.call(start).await? {
            Err(none) => Ok(Err(none)),
            Ok(()) => found.await.map_err(|_| NodeClosed),
        }
    }

    /// Puts a record into the DHT; false if nobody took it.
    pub(crate) async fn store_record(
        &self,
        record: IpnsRecord,
    ) -> Result<Result<bool, DhtFault>, NodeClosed> {
        let (reply, stored) = oneshot::channel();
        let start =
            move |driver: &mut Driver| driver.name_query(|all, kad| all.store(kad, &record, reply));
        match self.call(start).await? {
            Err(none) => Ok(Err(none)),
            Ok(()) => stored.await.map(Ok).map_err(|_| NodeClosed),
        }
    }
}
