//! The opening handshake (§4): a browser's request read, and answered.

use divan::{Bencher, black_box};
use gateway_core::protocol::handshake::{self, Head, HeadLimits, HeadReader};

#[divan::bench]
fn handshake(bencher: Bencher) {
    let headers = [
        ("origin", "https://chat.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cache-control", "no-cache"),
    ];
    let protocols = ["chat.v1.cbor", "chat.v1.json"];
    let head = handshake::request(
        "chat.example.com",
        "/ws?access_token=eyJhbGciOiJIUzI1NiJ9",
        [7; 16],
        &protocols,
        true,
        &headers,
    );
    bencher.bench_local(
        || match HeadReader::default().read(black_box(&head), &HeadLimits::default()) {
            Ok(Head::Upgrade(request)) => {
                let agreement = request.deflate_offer.map(|offer| offer.accept());
                handshake::accept(&request, Some("chat.v1.cbor"), agreement).expect("it was offered")
            }
            other => panic!("{other:?}"),
        },
    );
}
