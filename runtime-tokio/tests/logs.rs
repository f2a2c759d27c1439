//! What is logged, and within which spans. A subscriber is for the whole process, so this is a program of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use bitswap_core::Block;
use bitswap_node::{FetchOptions, Node};
use bitswap_runtime_tokio::Tokio;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// An event: the spans around it, outermost first, and what it says.
#[derive(Clone, Debug)]
struct Line {
    spans: Vec<String>,
    fields: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<Line>>>);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Captured {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        let text = format!("{} {:?}", span.name(), fields.0);
        span.extensions_mut().insert(text);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let name = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
            span.extensions().get::<String>().cloned().unwrap_or_default()
        };
        let line = Line { spans: scope.map(name).collect(), fields: fields.0 };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn a_block_is_logged_within_its_want_its_session_and_its_transfer() {
    let captured = Captured::default();
    tracing_subscriber::registry().with(captured.clone()).init();
    let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let server = Node::builder(Tokio::current()).with_listen_address(listen).start().await.unwrap();
    let client = Node::builder(Tokio::current()).start().await.unwrap();
    let secret = "what is in a block is never logged";
    let root = server.put(secret).await.unwrap();
    assert_eq!(root, *Block::raw(secret).cid());
    let peer = client.connect(server.addresses().await.unwrap().remove(0)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let options = FetchOptions { share: false, ..FetchOptions::default() };
    client.fetch_file(root, &target, options).unwrap().finish().await.unwrap();
    client.shutdown().await;

    let lines = captured.0.lock().unwrap().clone();
    let of = |message: &str| {
        let is_it = |line: &&Line| line.fields.get("message").is_some_and(|text| text == message);
        lines.iter().find(is_it).unwrap_or_else(|| panic!("no {message:?}")).clone()
    };
    let chunk = of("received chunk");
    let [transfer, session, want] = &chunk.spans[..] else { panic!("{chunk:?}") };
    assert!(
        transfer.starts_with("transfer ") && transfer.contains(&root.to_string()),
        "{transfer}"
    );
    assert!(session.starts_with("session "), "{session}");
    assert!(want.starts_with("want ") && want.contains(&root.to_string()), "{want}");
    assert_eq!(chunk.fields["from"], peer.to_string());
    assert_eq!(chunk.fields["bytes"], secret.len().to_string());
    let connected = of("connected to 1 of 1 peers");
    let span = &connected.spans[0];
    assert!(span.starts_with("peer ") && connected.spans.len() == 1, "{connected:?}");
    assert!(of("finalized").spans[0].contains(&root.to_string()));
    // What the engine does and decides.
    assert!(of("a peer connected").fields["peer"].contains(&peer.to_string()));
    let asked = of("a block is asked for");
    assert_eq!(asked.fields["cid"], root.to_string());
    assert_eq!(asked.fields["row"], of("a peer connected").fields["row"]);
    assert!(!of("a session was opened").fields["session"].is_empty());
    assert_eq!(of("a message arrived").fields["row"], asked.fields["row"]);
    let text = format!("{lines:?}");
    assert!(!text.contains("never logged"), "{text}");
}
