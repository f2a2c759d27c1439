//! The peers against each other, with nothing of ours between: that each driver starts a real node,
//! that blocks move by Bitswap and by nothing else, and that all import a file to the same CID.
//!
//! A row of the matrix is `server_to_client::what_is_shown`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bitswap_interop::{
    AddOptions, Helia, HeliaOptions, Identity, Kubo, KuboOld, KuboOldOptions, KuboOptions, Listen,
    PeerError, Profile, content,
};
use cid::Cid;
use tempfile::TempDir;
use tokio::time::timeout;

const FILE: usize = 5_000_000;
const CHUNK: u32 = 256 * 1024;
/// `FILE` in chunks of `CHUNK`, and their root.
const BLOCKS: u64 = 20 + 1;

/// A file with content of its own.
struct Input {
    folder: TempDir,
    bytes: Vec<u8>,
}

impl Input {
    fn new(seed: u64, len: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes = content::bytes(seed, len);
        fs::write(folder.path().join("in"), &bytes).unwrap();
        Self { folder, bytes }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn assert_arrived(&self) {
        assert_same(&self.out(), &self.bytes);
    }
}

fn assert_same(path: &Path, bytes: &[u8]) {
    assert_eq!(content::sha256_of_file(path).unwrap(), content::sha256(bytes));
}

async fn kubo() -> Kubo {
    Kubo::start(KuboOptions::default()).await.unwrap()
}

async fn kubo_old() -> KuboOld {
    KuboOld::start(KuboOldOptions::default()).await.unwrap()
}

async fn helia() -> Helia {
    Helia::start(HeliaOptions::default()).await.unwrap()
}

/// Asks again and again until it is so; a state that never comes is a failure.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let asking = async { while !so().await {} };
    timeout(Duration::from_secs(60), asking).await.unwrap();
}

/// That the client got each of `blocks` blocks once, and from Bitswap.
async fn assert_received(client: &Kubo, blocks: u64) {
    let stat = client.bitswap_stat().await.unwrap();
    assert_eq!((stat.blocks_received, stat.duplicate_blocks_received), (blocks, 0), "{stat:?}");
}

mod kubo_to_kubo {
    use super::*;

    async fn transfer(listen: Listen, options: AddOptions) {
        let input = Input::new(1, FILE);
        let options_of = || KuboOptions { listen, ..KuboOptions::default() };
        let (server, client) =
            (Kubo::start(options_of()).await.unwrap(), Kubo::start(options_of()).await.unwrap());
        let cid = server.add(&input.path(), &options).await.unwrap();
        assert_eq!(cid.version(), options.cid_version.unwrap());

        client.connect(&server.addrs()[0]).await.unwrap();
        assert_eq!(client.peers().await.unwrap(), [server.peer_id()]);
        client.get(&cid, &input.out()).await.unwrap();

        input.assert_arrived();
        assert_received(&client, BLOCKS).await;
        assert_eq!(server.bitswap_stat().await.unwrap().blocks_sent, BLOCKS);
        client.stop().await.unwrap();
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_cidv1_file_over_tcp() {
        transfer(Listen::Tcp, AddOptions::v1(CHUNK)).await;
    }

    #[tokio::test]
    async fn a_cidv0_file_over_tcp() {
        transfer(Listen::Tcp, AddOptions::v0()).await;
    }

    #[tokio::test]
    async fn a_cidv1_file_over_quic() {
        transfer(Listen::Quic, AddOptions::v1(CHUNK)).await;
    }

    #[tokio::test]
    async fn blocks_of_other_hashes_and_codecs() {
        let (server, client) = (kubo().await, kubo().await);
        client.connect(&server.addrs()[0]).await.unwrap();
        for (codec, hash) in [
            ("raw", "sha2-512"),
            ("raw", "blake2b-256"),
            ("raw", "blake3"),
            ("dag-cbor", "sha3-256"),
        ] {
            let data = content::bytes(2, 10_000);
            let cid = server.block_put(&data, codec, hash).await.unwrap();
            assert!(!client.has(&cid).await.unwrap());
            assert_eq!(client.block_get(&cid).await.unwrap(), data);
            assert!(client.has(&cid).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_want_is_told_and_ends_when_the_block_arrives_later() {
        let (server, client) = (kubo().await, kubo().await);
        client.connect(&server.addrs()[0]).await.unwrap();
        let data = content::bytes(3, 50_000);
        // The same bytes imported elsewhere tell the CID before the server has the block.
        let cid = kubo().await.block_put(&data, "raw", "sha2-256").await.unwrap();
        let late = async {
            // The server's ledger, and not time, tells that the want has arrived.
            until(async || {
                server.bitswap_wantlist(Some(&client.peer_id())).await.unwrap() == [cid]
            })
            .await;
            server.block_put(&data, "raw", "sha2-256").await.unwrap();
        };
        let (fetched, ()) = tokio::join!(client.block_get(&cid), late);
        assert_eq!(fetched.unwrap(), data);
        assert_eq!(client.bitswap_wantlist(None).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_collected_block_is_fetched_again() {
        let (server, client) = (kubo().await, kubo().await);
        let data = content::bytes(4, 1000);
        let cid = server.block_put(&data, "raw", "sha2-256").await.unwrap();
        client.connect(&server.addrs()[0]).await.unwrap();
        client.block_get(&cid).await.unwrap();
        client.repo_gc().await.unwrap();
        assert!(!client.has(&cid).await.unwrap());
        assert_eq!(client.block_get(&cid).await.unwrap(), data);
        assert_received(&client, 2).await;
    }
}

mod helia_to_kubo {
    use super::*;

    #[tokio::test]
    async fn a_cidv1_file() {
        let input = Input::new(5, FILE);
        let (server, client) = (helia().await, kubo().await);
        let cid = server.add(&input.path(), &AddOptions::v1(CHUNK)).await.unwrap();
        client.connect(&server.addrs()[0]).await.unwrap();
        client.pin_add(&cid).await.unwrap();
        assert_received(&client, BLOCKS).await;
        client.get(&cid, &input.out()).await.unwrap();
        input.assert_arrived();
        assert_eq!(server.stat().await.unwrap().blocks_sent, BLOCKS);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_profile_gives_the_same_cid() {
        let input = Input::new(6, FILE);
        let (helia, kubo) = (helia().await, kubo().await);
        for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
            let spelled_out = AddOptions::profile(profile);
            let named = helia.add_by_profile(&input.path(), profile).await.unwrap();
            assert_eq!(helia.add(&input.path(), &spelled_out).await.unwrap(), named);
            assert_eq!(kubo.add(&input.path(), &spelled_out).await.unwrap(), named);
        }
    }
}

mod kubo_to_helia {
    use super::*;

    #[tokio::test]
    async fn a_cidv1_file() {
        let input = Input::new(7, FILE);
        let (server, client) = (kubo().await, helia().await);
        let cid = server.add(&input.path(), &AddOptions::v1(CHUNK)).await.unwrap();
        client.connect(&server.addrs()[0]).await.unwrap();
        client.get(&cid, &input.out()).await.unwrap();
        input.assert_arrived();
        assert_eq!(client.stat().await.unwrap().blocks_stored, BLOCKS);
        assert_eq!(server.bitswap_stat().await.unwrap().blocks_sent, BLOCKS);
        client.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_directory() {
        let input = Input::new(8, 1000);
        let tree = input.folder.path().join("tree");
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("a file"), &input.bytes).unwrap();
        fs::write(tree.join("sub/ünïcode"), &input.bytes[..500]).unwrap();
        let (server, client) = (kubo().await, helia().await);
        let cid = server.add(&tree, &AddOptions::v1(CHUNK)).await.unwrap();
        client.connect(&server.addrs()[0]).await.unwrap();
        client.get(&cid, &input.out()).await.unwrap();
        assert_same(&input.out().join("a file"), &input.bytes);
        assert_same(&input.out().join("sub/ünïcode"), &input.bytes[..500]);
    }
}

mod helia_to_helia {
    use super::*;

    #[tokio::test]
    async fn a_block_put_as_it_is() {
        let data = content::bytes(9, 20_000);
        let cid = kubo().await.block_put(&data, "raw", "sha2-512").await.unwrap();
        let (server, client) = (helia().await, helia().await);
        server.block_put(&cid, &data).await.unwrap();
        assert!(server.has(&cid).await.unwrap() && !client.has(&cid).await.unwrap());
        client.connect(&server.addrs()[0]).await.unwrap();
        assert_eq!(client.peers().await.unwrap(), [server.peer_id()]);
        assert_eq!(client.block_get(&cid).await.unwrap(), data);
        assert!(client.has(&cid).await.unwrap());
    }
}

mod kubo_old_to_kubo {
    use super::*;

    async fn transfer(options: KuboOldOptions) {
        let input = Input::new(10, FILE);
        let (server, client) = (KuboOld::start(options).await.unwrap(), kubo().await);
        let cid = server.add(&input.path()).await.unwrap();
        assert!(server.has(&cid));
        assert_eq!(cid, client.add_only_hash(&input.path()).await);
        client.connect(&server.addrs()[0]).await.unwrap();
        client.get(&cid, &input.out()).await.unwrap();
        input.assert_arrived();
        assert_received(&client, BLOCKS).await;
        server.stop().await.unwrap();
    }

    trait OnlyHash {
        async fn add_only_hash(&self, path: &Path) -> Cid;
    }

    impl OnlyHash for Kubo {
        async fn add_only_hash(&self, path: &Path) -> Cid {
            let path = path.to_str().unwrap();
            let out = self.ipfs(&["add", "--only-hash", "--quieter", path], None).await.unwrap();
            String::from_utf8(out).unwrap().trim().parse().unwrap()
        }
    }

    #[tokio::test]
    async fn a_cidv0_file_from_an_ed25519_peer() {
        transfer(KuboOldOptions::default()).await;
    }

    #[tokio::test]
    async fn a_cidv0_file_from_an_rsa_peer() {
        let options = KuboOldOptions { identity: Identity::Rsa, ..KuboOldOptions::default() };
        transfer(options).await;
    }

    #[tokio::test]
    async fn a_cidv1_file_that_was_stored_before_the_start() {
        let input = Input::new(11, FILE);
        let (maker, client) = (kubo().await, kubo().await);
        let cid = maker.add(&input.path(), &AddOptions::v1(CHUNK)).await.unwrap();
        let refs = maker.ipfs(&["refs", &cid.to_string()], None).await.unwrap();
        let mut blocks = vec![(cid, maker.block_get(&cid).await.unwrap())];
        for leaf in String::from_utf8(refs).unwrap().lines() {
            let leaf = leaf.parse().unwrap();
            blocks.push((leaf, maker.block_get(&leaf).await.unwrap()));
        }
        let server =
            KuboOld::start(KuboOldOptions { blocks, ..KuboOldOptions::default() }).await.unwrap();
        client.connect(&server.addrs()[0]).await.unwrap();
        client.get(&cid, &input.out()).await.unwrap();
        input.assert_arrived();
        assert_received(&client, BLOCKS).await;
    }
}

mod kubo_to_kubo_old {
    use super::*;

    #[tokio::test]
    async fn a_cidv1_file() {
        let input = Input::new(12, FILE);
        let (server, client) = (kubo().await, kubo_old().await);
        let cid = server.add(&input.path(), &AddOptions::v1(CHUNK)).await.unwrap();
        assert!(!client.has(&cid));
        client.connect(&server.addrs()[0]).await.unwrap();
        assert_eq!(client.peers().await.unwrap(), [server.peer_id()]);
        client.pin_add(&cid).await.unwrap();
        assert!(client.has(&cid));
        assert_eq!(server.bitswap_stat().await.unwrap().blocks_sent, BLOCKS);
        client.get(&cid, &input.out()).await.unwrap();
        input.assert_arrived();
    }
}

mod drivers {
    use super::*;

    #[tokio::test]
    async fn a_block_that_nobody_has_is_a_deadline_and_not_a_hang() {
        let options = KuboOptions { deadline: Duration::from_secs(5), ..KuboOptions::default() };
        let kubo = Kubo::start(options).await.unwrap();
        let elsewhere =
            super::kubo().await.block_put(b"nobody has this", "raw", "sha2-256").await.unwrap();
        let error = kubo.block_get(&elsewhere).await.unwrap_err();
        assert!(matches!(error, PeerError::Deadline { .. }), "{error}");
    }

    #[tokio::test]
    async fn peers_listen_on_loopback_only_and_know_nobody() {
        let (kubo, old, helia) = (kubo().await, kubo_old().await, helia().await);
        for addr in kubo.addrs().iter().chain(old.addrs()).chain(helia.addrs()) {
            assert!(addr.to_string().starts_with("/ip4/127.0.0.1/tcp/"), "{addr}");
        }
        assert_eq!(kubo.peers().await.unwrap(), []);
        assert_eq!(old.peers().await.unwrap(), []);
        assert_eq!(helia.peers().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_dropped_peer_is_gone() {
        let kubo = kubo().await;
        let helia = helia().await;
        let (addr, observer) = (kubo.addrs()[0].clone(), super::kubo().await);
        let helia_addr = helia.addrs()[0].clone();
        let homes = [kubo.home().to_owned(), helia.home().to_owned()];
        drop((kubo, helia));
        for addr in [addr, helia_addr] {
            // A killed process closes its sockets some time after the signal; until then it answers.
            until(async || observer.connect(&addr).await.is_err()).await;
        }
        assert!(homes.iter().all(|home| !home.exists()));
    }
}
