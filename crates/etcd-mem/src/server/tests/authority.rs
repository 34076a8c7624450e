//! A client that sends an URL as the name of the host, word by word as etcdctl 3.4 does.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{PREFACE, field, frame};
use super::*;

/// The kinds of the frames that come for each stream, until so many streams have ended or the connection has.
async fn answers(client: &mut TcpStream, streams: usize) -> BTreeMap<u8, Vec<u8>> {
    let (mut seen, mut ended) = (BTreeMap::<u8, Vec<u8>>::new(), 0);
    while ended < streams {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.read_exact(&mut payload).await.expect("its rest");
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        seen.entry(stream).or_default().push(kind);
        let ends = kind <= 1 && flags & 1 != 0 || kind == 3;
        ended += usize::from(ends);
    }
    seen
}

#[tokio::test]
async fn an_url_as_the_name_of_the_host_is_taken_again_and_again() {
    let running = start(Server::new()).await;
    let mut client = TcpStream::connect(running.address)
        .await
        .expect("connected");
    let path = field(&[0x44], "/etcdserverpb.Maintenance/Status");
    let authority = field(&[0x41], &format!("http://{}/", running.address));
    let kind = field(&[0x5f], "application/grpc");
    let te = [vec![0x40, 2], b"te".to_vec(), vec![8], b"trailers".to_vec()].concat();
    let request = [vec![0x83, 0x86], path, authority, kind, te].concat();
    // `:path`, `:authority` and the others are in the table now, the last of them as number 62.
    let again = [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];
    let stream = [
        PREFACE.to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &request),
        frame(0, 1, 1, &[0; 5]),
        frame(1, 4, 3, &again),
        frame(0, 1, 3, &[0; 5]),
    ];
    client.write_all(&stream.concat()).await.expect("written");
    let seen = tokio::time::timeout(PATIENCE, answers(&mut client, 2)).await;
    let seen = seen.expect("in time");
    // Headers, data, trailers; 3 would be a reset.
    for stream in [1, 3] {
        assert_eq!(seen.get(&stream), Some(&vec![1, 0, 1]), "{seen:?}");
    }
}
