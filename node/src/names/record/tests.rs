use super::*;

/// Made by Kubo 0.18, with both signatures, and valid for a hundred years: from its own tests.
const KUBO: [(&str, &[u8]); 2] = [
    (
        "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d",
        include_bytes!("vectors/ed25519.ipns-record"),
    ),
    ("QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3", include_bytes!("vectors/rsa.ipns-record")),
];

const CID: &str = "/ipfs/bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn terms(sequence: u64) -> Terms {
    let valid_until = now() + Duration::from_secs(3600);
    Terms { sequence, valid_until, ttl: Duration::from_secs(300) }
}

fn keys() -> [Keypair; 3] {
    [Keypair::generate_ed25519(), Keypair::generate_secp256k1(), Keypair::generate_ecdsa()]
}

/// A record field by field, as it came or changed.
fn rewritten(record: &[u8], change: impl Fn(u64) -> Option<Vec<u8>>) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), record);
    while !rest.is_empty() {
        let (number, value, after) = field(rest).unwrap();
        match (change(number), value) {
            (Some(bytes), Value::Bytes(_)) if bytes.is_empty() => {}
            (Some(bytes), Value::Bytes(_)) => put_bytes(&mut out, number, &bytes),
            (Some(bytes), Value::Number(_)) if bytes.is_empty() => {}
            (Some(bytes), Value::Number(_)) => put_number(&mut out, number, bytes[0].into()),
            (None, Value::Bytes(bytes)) => put_bytes(&mut out, number, bytes),
            (None, Value::Number(value)) => put_number(&mut out, number, value),
        }
        rest = after;
    }
    out
}

fn without(record: &[u8], fields: &[u64]) -> Vec<u8> {
    rewritten(record, |number| fields.contains(&number).then(Vec::new))
}

#[test]
fn records_of_another_implementation_are_read_and_no_byte_of_what_is_signed_may_change() {
    for (name, bytes) in KUBO {
        let name: IpnsName = name.parse().unwrap();
        let record = IpnsRecord::read(name, bytes, now()).unwrap();
        assert!(record.value().starts_with("/ipfs/"), "{}", record.value());
        assert!(record.valid_until() > now() + Duration::from_secs(10 * 365 * 86400));
        assert_eq!((record.name(), record.bytes()), (name, bytes));
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            if let Ok(read) = IpnsRecord::read(name, &changed, now()) {
                // The old signature says nothing any more.
                assert_eq!(
                    (read.value(), read.sequence(), read.valid_until(), read.ttl()),
                    (record.value(), record.sequence(), record.valid_until(), record.ttl()),
                    "{at}"
                );
            }
        }
        for other in keys() {
            let other = IpnsName::from(&other.public());
            assert!(IpnsRecord::read(other, bytes, now()).is_err());
        }
    }
}

#[test]
fn what_is_signed_here_is_read_here_with_every_kind_of_key() {
    for key in keys() {
        let signed = IpnsRecord::sign(&key, CID, terms(7)).unwrap();
        let name = IpnsName::from(&key.public());
        let read = IpnsRecord::read(name, signed.bytes(), now()).unwrap();
        assert_eq!(read, signed);
        assert_eq!((read.value(), read.sequence()), (CID, 7));
        assert_eq!(read.ttl(), Duration::from_secs(300));
    }
}

#[test]
fn the_signed_data_has_its_keys_in_the_order_of_dag_cbor() {
    let signed = IpnsRecord::sign(&Keypair::generate_ed25519(), CID, terms(7)).unwrap();
    let at = |name: &str| {
        let name = [&[0x60 | name.len() as u8][..], name.as_bytes()].concat();
        let data = Fields::read(signed.bytes()).unwrap().data.to_vec();
        data.windows(name.len()).position(|window| window == name).unwrap()
    };
    let order = ["TTL", "Value", "Sequence", "Validity", "ValidityType"].map(at);
    assert!(order.is_sorted(), "{order:?}");
    // As it is in one that Kubo made.
    let data = Fields::read(KUBO[0].1).unwrap().data;
    assert_eq!(Data::read(data).unwrap().write(), data);
}

#[test]
fn only_records_whose_second_signature_holds_are_taken() {
    for key in [keys()[0].clone(), keys()[1].clone()] {
        let name = IpnsName::from(&key.public());
        let bytes = IpnsRecord::sign(&key, CID, terms(7)).unwrap().bytes().to_vec();
        let read = |bytes: &[u8]| IpnsRecord::read(name, bytes, now()).map(|record| record.value);
        let valid = Ok(CID.to_owned());
        assert_eq!(read(&bytes), valid);
        // Version 1 alone.
        let v1 = without(&bytes, &[SIGNATURE_V2, DATA]);
        assert_eq!(read(&v1), Err(RecordFault::Malformed));
        assert_eq!(read(&without(&bytes, &[SIGNATURE_V2])), Err(RecordFault::Malformed));
        // Version 2 alone.
        let legacy = [VALUE, SIGNATURE_V1, VALIDITY_TYPE, VALIDITY, SEQUENCE, TTL];
        assert_eq!(read(&without(&bytes, &legacy)), valid);
        // A broken signature of version 1 is not looked at, one of version 2 is.
        let broken = |of| rewritten(&bytes, |number| (number == of).then(|| vec![7; 64]));
        assert_eq!(read(&broken(SIGNATURE_V1)), valid);
        assert_eq!(read(&broken(SIGNATURE_V2)), Err(RecordFault::Signature));
        // What is outside of the signature differs.
        for field in [VALUE, VALIDITY, SEQUENCE, TTL] {
            let differs = rewritten(&bytes, |number| (number == field).then(|| vec![9]));
            assert_eq!(read(&differs), Err(RecordFault::Mismatch), "{field}");
        }
        assert_eq!(read(&without(&bytes, &[SEQUENCE])), Err(RecordFault::Mismatch));
        let mut foreign = bytes.clone();
        put_bytes(&mut foreign, PUBLIC_KEY, &keys()[0].public().encode_protobuf());
        assert_eq!(read(&foreign), Err(RecordFault::Key));
        assert_eq!(read(b"junk"), Err(RecordFault::Malformed));
        assert_eq!(read(&[bytes, vec![0; RECORD_MAX]].concat()), Err(RecordFault::TooLong));
    }
}

/// The six kinds of the specification's test fixtures (IPIP-428), with other keys and values: made with boxo 0.42, which
/// is what Kubo has, and which takes and refuses the same of them. The value in each is [`CID`].
#[test]
fn each_kind_of_record_is_taken_or_refused_as_the_specification_says() {
    macro_rules! made {
        ($kind:literal) => {
            include_bytes!(concat!("vectors/kinds/", $kind, ".ipns-record"))
        };
    }
    let kinds: [(&str, &[u8], _); 6] = [
        (
            "k51qzi5uqu5djmw2yvf8kk5cdjc1ddc00o4d5sjwi6f79xzcay9j3gkddw5uu4",
            made!("v1"),
            Err(RecordFault::Malformed),
        ),
        ("k51qzi5uqu5djejcj9das04p3wen7mowcz0z5iq3tw0yxaa8ko01odjley7fdg", made!("v1-v2"), Ok(())),
        (
            "k51qzi5uqu5dm3hvogw3iovl1y90ha7aqmqd5czq5p91kpf7m836hxsv1ptdqp",
            made!("v1-v2-other-value"),
            Err(RecordFault::Mismatch),
        ),
        (
            "k51qzi5uqu5dl8cqdm55eo0f82otn275obmjlib72ujuxzrlvy69flpaygfhj0",
            made!("v1-v2-broken-signature-v2"),
            Err(RecordFault::Signature),
        ),
        (
            "k51qzi5uqu5dixps12q6a7ta7u9k17rvdxqiulim17unlien8iollr3t31bkz5",
            made!("v1-v2-broken-signature-v1"),
            Ok(()),
        ),
        ("k51qzi5uqu5djmvw342g8ezr66r0tj24jydr1dm4eml4k98o28y4nlhrfgnw9j", made!("v2"), Ok(())),
    ];
    for (name, bytes, outcome) in kinds {
        let read = IpnsRecord::read(name.parse().unwrap(), bytes, now());
        let said = read.map(|read| (read.value().to_owned(), read.sequence(), read.ttl()));
        let expected = outcome.map(|()| (CID.to_owned(), 7, Duration::from_secs(300)));
        assert_eq!(said, expected, "{name}");
    }
}

#[test]
fn a_record_of_rsa_without_its_key_belongs_to_nobody() {
    let (name, bytes) = KUBO[1];
    let read = IpnsRecord::read(name.parse().unwrap(), &without(bytes, &[PUBLIC_KEY]), now());
    assert_eq!(read, Err(RecordFault::Key));
}

#[test]
fn an_expired_record_is_none_and_of_two_the_later_holds() {
    let key = Keypair::generate_ed25519();
    let name = IpnsName::from(&key.public());
    let sign = |sequence, until| {
        let terms = Terms { valid_until: until, ..terms(sequence) };
        IpnsRecord::sign(&key, CID, terms).unwrap()
    };
    let hour = Duration::from_secs(3600);
    let record = sign(1, now() + hour);
    let read = |at| IpnsRecord::read(name, record.bytes(), at).map(drop);
    assert_eq!(read(now()), Ok(()));
    assert_eq!(read(now() + hour), Err(RecordFault::Expired));
    assert!(sign(2, now() + hour).supersedes(&sign(1, now() + 2 * hour)));
    assert!(sign(1, now() + 2 * hour).supersedes(&record));
    assert!(!record.supersedes(&record));
}

#[test]
fn a_field_of_another_type_is_no_record_and_an_unknown_one_is_passed_over() {
    let key = Keypair::generate_ed25519();
    let name = IpnsName::from(&key.public());
    let record = IpnsRecord::sign(&key, CID, terms(1)).unwrap();
    let read =
        |more: &[u8]| IpnsRecord::read(name, &[record.bytes(), more].concat(), now()).map(drop);
    for number in VALUE..=DATA {
        let mut more = Vec::new();
        match number {
            VALIDITY_TYPE | SEQUENCE | TTL => put_bytes(&mut more, number, &[7]),
            _ => put_number(&mut more, number, 7),
        }
        assert_eq!(read(&more), Err(RecordFault::Malformed), "{number}");
    }
    let mut more = Vec::new();
    put_number(&mut more, DATA + 1, 7);
    put_bytes(&mut more, DATA + 2, &[7]);
    assert_eq!(read(&more), Ok(()));
}
