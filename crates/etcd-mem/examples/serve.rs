//! Serves an empty etcd until interrupted: `cargo run -p etcd-mem --features server --example serve -- 127.0.0.1:2379`

use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    etcd_mem::server::serve(listener, interrupted).await?;
    Ok(())
}
