//! A swarm that runs in a task of its own.

use std::time::Duration;

use futures::StreamExt;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Transport, noise, tcp, yamux};
use libp2p_swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::soon;

/// Settings under which connections stay.
fn config() -> libp2p_swarm::Config {
    libp2p_swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(60))
        .with_max_negotiating_inbound_streams(1024)
}

type Call<B> = Box<dyn FnOnce(&mut Swarm<B>) + Send>;

/// A swarm listening on loopback. It stops when this is dropped.
pub(crate) struct Host<B: NetworkBehaviour> {
    pub(crate) id: PeerId,
    pub(crate) address: Multiaddr,
    calls: mpsc::Sender<Call<B>>,
    events: mpsc::Receiver<SwarmEvent<B::ToSwarm>>,
    task: JoinHandle<()>,
}

impl<B: NetworkBehaviour + Send> Host<B>
where
    B::ToSwarm: std::fmt::Debug,
{
    pub(crate) async fn new(behaviour: B) -> Self {
        Self::with_idle_timeout(behaviour, Duration::from_secs(60)).await
    }

    pub(crate) async fn with_idle_timeout(behaviour: B, idle: Duration) -> Self {
        Self::with_key(&Keypair::generate_ed25519(), behaviour, idle).await
    }

    pub(crate) async fn with_key(key: &Keypair, behaviour: B, idle: Duration) -> Self {
        Self::with_config(key, behaviour, config().with_idle_connection_timeout(idle)).await
    }

    /// In a swarm that negotiates lazily.
    pub(crate) async fn lazy(behaviour: B) -> Self {
        let config = config().with_substream_upgrade_protocol_override(Version::V1Lazy);
        Self::with_config(&Keypair::generate_ed25519(), behaviour, config).await
    }

    async fn with_config(key: &Keypair, behaviour: B, config: libp2p_swarm::Config) -> Self {
        let id = key.public().to_peer_id();
        let mut swarm = Swarm::new(transport(key), behaviour, id, config);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let address = soon("a listen address", async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    return address;
                }
            }
        })
        .await;
        let (calls, mut called) = mpsc::channel::<Call<B>>(16);
        let (report, events) = mpsc::channel(100_000);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    call = called.recv() => match call {
                        Some(call) => call(&mut swarm),
                        None => return,
                    },
                    event = swarm.select_next_some() => {
                        if let Err(error) = report.try_send(event) {
                            assert!(matches!(error, TrySendError::Closed(_)), "nobody looks at events");
                            return;
                        }
                    }
                }
            }
        });
        Self { id, address, calls, events, task }
    }

    /// Calls the swarm.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Swarm<B>) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = oneshot::channel();
        let call: Call<B> = Box::new(move |swarm| drop(answer.send(call(swarm))));
        assert!(self.calls.send(call).await.is_ok());
        soon("the swarm's answer", answered).await.unwrap()
    }

    /// Calls the behaviour.
    pub(crate) async fn behaviour<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut B) -> T + Send + 'static,
    ) -> T {
        self.call(|swarm| call(swarm.behaviour_mut())).await
    }

    /// Takes events until one of them is what is looked for.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(SwarmEvent<B::ToSwarm>) -> Option<T>,
    ) -> T {
        soon(what, async {
            loop {
                let event = self.events.recv().await.expect("the swarm runs");
                if let Some(found) = find(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// Takes the behaviour's events until one of them is what is looked for.
    pub(crate) async fn until_event<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(B::ToSwarm) -> Option<T>,
    ) -> T {
        self.until(what, |event| match event {
            SwarmEvent::Behaviour(event) => find(event),
            _ => None,
        })
        .await
    }

    /// Connects to another host and waits until both know.
    pub(crate) async fn connect<C: NetworkBehaviour + Send>(&mut self, other: &mut Host<C>)
    where
        C::ToSwarm: std::fmt::Debug,
    {
        use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};
        let dial = DialOpts::peer_id(other.id)
            .addresses(vec![other.address.clone()])
            .condition(PeerCondition::Always)
            // On Windows no dial leaves from a port that is listened on.
            .allocate_new_port()
            .build();
        self.call(|swarm| swarm.dial(dial)).await.unwrap();
        self.until("a connection", |event| {
            matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())
        })
        .await;
        other
            .until("a connection", |event| {
                matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())
            })
            .await;
    }
}

impl<B: NetworkBehaviour> Drop for Host<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// TCP, noise and yamux.
pub(crate) fn transport(key: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(1024);
    tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(muxer)
        .boxed()
}
